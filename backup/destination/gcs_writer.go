package destination

import (
	"context"
	"errors"
	"hash/crc32"
	"sync/atomic"
	"time"

	"cloud.google.com/go/storage"
	"github.com/googleapis/gax-go/v2"

	"github.com/brockdb/brock/backup/fault"
)

const (
	nonceMetadata = "brock_writer" // of objects at Google and Azure: which writer made it
	gcsChunkBytes = 256 << 10      // chunks are multiples of it
	chunkDeadline = 2 * time.Minute
)

// Create implements Destination. Nothing is sent until a part is full.
func (s *gcsStore) Create(ctx context.Context, name string, mode Mode) (Writer, error) {
	if err := s.check(ctx, "create", name); err != nil {
		return nil, err
	}
	if err := s.checkMode(name, mode); err != nil {
		return nil, err
	}
	w := &gcsWriter{ctx: ctx, store: s, name: name, mode: mode, nonce: newNonce()}
	w.sending, w.stop = context.WithCancelCause(ctx)
	return w, nil
}

// gcsWriter collects a part. An object of one part is sent with one request, at
// Commit; a larger one goes through a resumable upload, whose chunks the client
// keeps until they are stored. What was not finished is gone after a week and
// is never seen.
type gcsWriter struct {
	ctx     context.Context // of Create: it governs Write
	sending context.Context // of the resumable upload
	stop    context.CancelCauseFunc
	store   *gcsStore
	name    string
	mode    Mode
	nonce   string

	buf    []byte
	upload *storage.Writer // nil until the first part is full
	sent   int64           // bytes given to upload
	sum    uint32          // their CRC-32C

	err   error // what went wrong first; final
	ended bool
}

// Write implements io.Writer.
func (w *gcsWriter) Write(p []byte) (int, error) {
	if err := w.usable("write"); err != nil {
		return 0, err
	}
	if err := w.ctx.Err(); err != nil {
		return 0, w.failed("write", err)
	}
	if w.upload == nil && int64(len(w.buf)+len(p)) <= w.store.options.PartBytes {
		w.buf = append(w.buf, p...)
		return len(p), nil
	}
	if w.upload == nil {
		if err := w.begin(); err != nil {
			return 0, err
		}
	}
	return w.send(p)
}

// send gives bytes to the resumable upload.
func (w *gcsWriter) send(p []byte) (int, error) {
	n, err := w.upload.Write(p)
	w.sent += int64(n)
	w.sum = crc32.Update(w.sum, castagnoli, p[:n])
	if err != nil {
		return n, w.failed("write", err)
	}
	return n, nil
}

// begin starts a resumable upload with what was collected.
func (w *gcsWriter) begin() error {
	object, err := w.object(w.ctx)
	if err != nil {
		return w.failed("write", err)
	}
	retry := w.store.options.Retry
	// Since a chunk was last stored. The client alone begins an upload again and
	// again for ever.
	var failed atomic.Int64
	object = object.Retryer(storage.WithPolicy(storage.RetryAlways), storage.WithMaxAttempts(retry.attempts()),
		storage.WithBackoff(gax.Backoff{Initial: retry.delay(1), Max: retry.longest(), Multiplier: 2}),
		storage.WithErrorFunc(func(err error) bool {
			err = w.store.fail(w.sending, "write", w.name, "storage.objects.create", err)
			again := fault.Is(err, fault.Unavailable) && failed.Add(1) < int64(retry.attempts())
			if again {
				notify(w.sending, "a chunk is sent again: "+err.Error())
			}
			return again
		}))
	w.upload = w.newUpload(w.sending, object)
	w.upload.ChunkSize = int((w.store.options.PartBytes + gcsChunkBytes - 1) / gcsChunkBytes * gcsChunkBytes)
	w.upload.ProgressFunc = func(int64) { failed.Store(0) }
	w.upload.ChunkRetryDeadline = min(chunkDeadline, max(time.Second, time.Duration(retry.attempts())*retry.longest()))
	buf := w.buf
	w.buf = nil
	_, err = w.send(buf)
	return err
}

func (w *gcsWriter) object(ctx context.Context) (*storage.ObjectHandle, error) {
	object, err := w.store.object(ctx, w.name)
	if err != nil {
		return nil, err
	}
	if w.mode == Exclusive {
		object = object.If(storage.Conditions{DoesNotExist: true})
	}
	return object, nil
}

func (w *gcsWriter) newUpload(ctx context.Context, object *storage.ObjectHandle) *storage.Writer {
	u := object.NewWriter(ctx)
	u.ContentType = "application/octet-stream"
	u.Metadata = map[string]string{nonceMetadata: w.nonce}
	return u
}

// Commit implements Writer.
func (w *gcsWriter) Commit(ctx context.Context) error {
	if err := w.usable("commit"); err != nil {
		return err
	}
	for _, c := range []context.Context{ctx, w.ctx} {
		if err := c.Err(); err != nil {
			w.err = w.store.fail(c, "commit", w.name, "", err)
			return w.err
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(w.ctx, func() { cancel(context.Cause(w.ctx)) })()
	defer context.AfterFunc(ctx, func() { w.stop(context.Cause(ctx)) })()
	p := &publication{bucket: &w.store.bucket, retry: w.store.options.Retry, name: w.name, mode: w.mode, nonce: w.nonce, remove: w.store.Remove,
		stored: func(ctx context.Context) (string, error) {
			attrs, err := w.store.attrs(ctx, "commit", w.name)
			if err != nil {
				return "", err
			}
			return attrs.Metadata[nonceMetadata], nil
		}}
	var err error
	if w.upload == nil {
		err = p.run(ctx, w.store.options.Retry, w.put)
	} else { // its requests were retried by the client
		err = p.run(ctx, Retry{Attempts: 1}, func(ctx context.Context) error {
			if err := w.upload.Close(); err != nil {
				return w.store.fail(ctx, "commit", w.name, "storage.objects.create", err)
			}
			return w.checkStored(w.upload.Attrs())
		})
	}
	if err != nil {
		w.err = err
		return err
	}
	w.ended = true
	w.stop(nil)
	w.buf = nil
	return nil
}

// checkStored compares what the server says it has stored with what was sent: a
// chunk that is sent again must not count twice.
func (w *gcsWriter) checkStored(attrs *storage.ObjectAttrs) error {
	if attrs == nil || attrs.Size == w.sent && attrs.CRC32C == w.sum {
		return nil
	}
	return fault.New(fault.Unavailable, w.store.op("commit", w.name), "the server has stored %d bytes with the checksum %08x, %d with %08x were sent",
		attrs.Size, attrs.CRC32C, w.sent, w.sum).WithHint("try again")
}

// put sends the whole object with one request, and its checksum, which the
// server compares.
func (w *gcsWriter) put(ctx context.Context) error {
	object, err := w.object(ctx)
	if err == nil {
		u := w.newUpload(ctx, object)
		u.ChunkSize = 0 // no buffer of its own
		u.CRC32C, u.SendCRC32C = crc32.Checksum(w.buf, castagnoli), true
		_, err = u.Write(w.buf)
		err = errors.Join(err, u.Close())
	}
	return w.store.fail(ctx, "commit", w.name, "storage.objects.create", err)
}

// Abort implements Writer.
func (w *gcsWriter) Abort() error {
	if w.ended {
		return nil
	}
	w.ended = true
	w.stop(errEnded)
	w.buf = nil
	if w.upload != nil {
		_ = w.upload.Close() // canceled: it waits for the request under way
	}
	return nil
}

// usable returns the error that ended the writer, if any.
func (w *gcsWriter) usable(verb string) error {
	if w.ended {
		return &fault.Error{Op: w.store.op(verb, w.name), Err: errEnded}
	}
	return w.err
}

// failed keeps an error of the resumable upload.
func (w *gcsWriter) failed(verb string, err error) error {
	w.err = w.store.fail(w.ctx, verb, w.name, "storage.objects.create", err)
	return w.err
}
