package destination

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"net/http"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/brockdb/brock/backup/fault"
)

// Create implements Destination. Nothing is sent until a part is full.
func (s *s3Store) Create(ctx context.Context, name string, mode Mode) (Writer, error) {
	if err := s.check(ctx, "create", name); err != nil {
		return nil, err
	}
	if mode != Exclusive && mode != Replace {
		return nil, fault.New(fault.Usage, s.op("create", name), "unknown mode %d", mode)
	}
	if err := s.checkLock(ctx); err != nil {
		return nil, err
	}
	w := &s3Writer{ctx: ctx, store: s, name: name, key: s.key(name), mode: mode, nonce: rand.Text()}
	w.sendCtx, w.stop = context.WithCancelCause(ctx)
	return w, nil
}

// s3Writer collects a part at a time and sends it beside its caller. An object
// of one part is sent with one request, at Commit.
type s3Writer struct {
	ctx     context.Context // of Create: it governs Write
	sendCtx context.Context // of the requests for parts; canceled when one failed
	stop    context.CancelCauseFunc
	store   *s3Store
	name    string
	key     string
	mode    Mode
	nonce   string // tells our object from another of the same name

	buf    []byte // the part that is being filled
	upload string // the id of the multipart upload; "" before it is begun
	begun  int    // requests to begin one: of more than one, an answer was lost
	parts  []minio.CompletePart
	sends  sync.WaitGroup

	mu    sync.Mutex
	err   error // what went wrong first; final
	ended bool
}

// maxParts is the limit of S3.
const maxParts = 10_000

// nonceKey is the name of the metadata that says who wrote an object.
const nonceKey = "Brock-Writer"

// Write implements io.Writer.
func (w *s3Writer) Write(p []byte) (int, error) {
	if err := w.usable("write"); err != nil {
		return 0, err
	}
	total := 0
	for len(p) > 0 {
		if err := w.ctx.Err(); err != nil {
			return total, w.setErr(w.store.fail(w.ctx, "write", w.name, "", err))
		}
		if int64(len(w.buf)) == w.store.options.PartBytes {
			if err := w.sendPart(); err != nil {
				return total, w.setErr(err)
			}
		}
		n := min(int64(len(p)), w.store.options.PartBytes-int64(len(w.buf)))
		w.grow(int(n))
		w.buf = append(w.buf, p[:n]...)
		p = p[n:]
		total += int(n)
	}
	return total, w.firstErr()
}

// grow makes room for n bytes more, and never for more than a part: small
// objects take little memory.
func (w *s3Writer) grow(n int) {
	need := len(w.buf) + n
	if need <= cap(w.buf) {
		return
	}
	size := min(max(need, 2*cap(w.buf), 64<<10), int(w.store.options.PartBytes))
	if w.upload != "" {
		size = int(w.store.options.PartBytes) // a large object: the next part is full as well
	}
	bigger := w.store.takeBuffer(size)
	w.buf, bigger = append(bigger, w.buf...), w.buf
	w.store.giveBuffer(bigger)
}

// takeBuffer returns an empty buffer of at least size bytes.
func (s *s3Store) takeBuffer(size int) []byte {
	if int64(size) == s.options.PartBytes {
		select {
		case b := <-s.spare:
			return b[:0]
		default:
		}
	}
	return make([]byte, 0, size)
}

// giveBuffer keeps a buffer of a whole part for the next taker.
func (s *s3Store) giveBuffer(b []byte) {
	if int64(cap(b)) != s.options.PartBytes {
		return
	}
	select {
	case s.spare <- b:
	default:
	}
}

// sendPart begins to send the part in buf as soon as fewer than
// UploadConcurrency are under way.
func (w *s3Writer) sendPart() error {
	s := w.store
	if len(w.parts) == maxParts {
		return fault.New(fault.Usage, s.op("write", w.name), "it needs more than %d parts of %d bytes", maxParts, s.options.PartBytes).
			WithHint("choose larger parts")
	}
	if err := w.begin(); err != nil {
		return err
	}
	select {
	case s.sending <- struct{}{}:
	case <-w.sendCtx.Done():
		if err := w.firstErr(); err != nil {
			return err
		}
		return s.fail(w.sendCtx, "write", w.name, "", w.sendCtx.Err())
	}
	part := w.buf
	w.buf = nil
	w.mu.Lock()
	w.parts = append(w.parts, minio.CompletePart{})
	number := len(w.parts)
	w.mu.Unlock()
	w.sends.Go(func() {
		done, attempts, err := w.putPart(number, part)
		<-s.sending
		if attempts == 1 && err == nil {
			s.giveBuffer(part) // net/http may still read the body of a request that failed
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.parts[number-1] = done
		if err != nil && w.err == nil {
			w.err = err
			w.stop(err)
		}
	})
	return nil
}

// begin starts the multipart upload, once.
func (w *s3Writer) begin() error {
	if w.upload != "" {
		return nil
	}
	s := w.store
	o := w.options()
	o.UserMetadata["x-amz-checksum-algorithm"] = "CRC32C"
	return s.options.Retry.do(w.sendCtx, s.op("begin to write", w.name), func(ctx context.Context) (err error) {
		w.begun++
		w.upload, err = s.core.NewMultipartUpload(ctx, s.location.Bucket, w.key, o)
		return s.fail(ctx, "begin to write", w.name, "s3:PutObject", err)
	})
}

// putPart sends one part, with a checksum that the server compares.
func (w *s3Writer) putPart(number int, data []byte) (done minio.CompletePart, attempts int, err error) {
	s := w.store
	sum := checksum(data)
	o := minio.PutObjectPartOptions{DisableContentSha256: true, Sha256Hex: s.payloadHash(data)}
	err = s.options.Retry.do(w.sendCtx, s.op("write", w.name), func(ctx context.Context) error {
		attempts++
		o.CustomHeader = http.Header{"X-Amz-Checksum-Crc32c": {sum}} // a map that minio-go may change
		part, err := s.core.PutObjectPart(ctx, s.location.Bucket, w.key, w.upload, number, bytes.NewReader(data), int64(len(data)), o)
		done = minio.CompletePart{PartNumber: number, ETag: part.ETag, ChecksumCRC32C: part.ChecksumCRC32C}
		return s.fail(ctx, "write", w.name, "s3:PutObject", err)
	})
	return done, attempts, err
}

// Commit implements Writer.
func (w *s3Writer) Commit(ctx context.Context) error {
	if err := w.usable("commit"); err != nil {
		return err
	}
	s := w.store
	for _, c := range []context.Context{ctx, w.ctx} {
		if err := c.Err(); err != nil {
			return w.setErr(s.fail(c, "commit", w.name, "", err))
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(ctx, func() { w.stop(context.Cause(ctx)) })()
	defer context.AfterFunc(w.ctx, func() { cancel(context.Cause(w.ctx)) })()
	var err error
	if w.upload == "" {
		err = w.put(ctx)
	} else {
		err = w.complete(ctx)
	}
	if err != nil {
		return w.setErr(err)
	}
	w.ended = true
	w.stop(nil)
	w.buf = nil
	if w.begun > 1 {
		// The object is stored. What cannot be removed now, the next holder of the
		// lease removes.
		_ = s.abortOthers(ctx, "commit", w.name, w.key, w.upload)
	}
	return nil
}

// put sends the whole object with one request.
func (w *s3Writer) put(ctx context.Context) error {
	s := w.store
	sum, hash := checksum(w.buf), s.payloadHash(w.buf)
	return w.publish(ctx, func(ctx context.Context) error {
		o := w.options()
		w.setCondition(&o)
		o.UserMetadata["x-amz-checksum-crc32c"] = sum
		o.DisableContentSha256 = true
		_, err := s.core.PutObject(ctx, s.location.Bucket, w.key, bytes.NewReader(w.buf), int64(len(w.buf)), "", hash, o)
		return err
	})
}

// complete sends the last part and joins all of them.
func (w *s3Writer) complete(ctx context.Context) error {
	s := w.store
	if len(w.buf) > 0 {
		if err := w.sendPart(); err != nil {
			return err
		}
	}
	w.sends.Wait()
	if err := w.firstErr(); err != nil {
		return err
	}
	return w.publish(ctx, func(ctx context.Context) error {
		var o minio.PutObjectOptions
		w.setCondition(&o)
		_, err := s.core.CompleteMultipartUpload(ctx, s.location.Bucket, w.key, w.upload, w.parts, o)
		return err
	})
}

// publish makes the object visible by request.
func (w *s3Writer) publish(ctx context.Context, request func(context.Context) error) error {
	s := w.store
	p := &publication{bucket: s, retry: s.options.Retry, name: w.name, mode: w.mode, nonce: w.nonce, remove: s.Remove,
		stored: func(ctx context.Context) (string, error) {
			info, err := s.head(ctx, "commit", w.name)
			return info.UserMetadata[nonceKey], err
		}}
	return p.run(ctx, s.options.Retry, func(ctx context.Context) error {
		for again := deniedAttempts - 1; ; again-- {
			err := s.fail(ctx, "commit", w.name, "s3:PutObject", request(ctx))
			if again == 0 || s.isAmazon() || !fault.Is(err, fault.Denied) || wait(ctx, deniedDelay) != nil {
				return err
			}
		}
	})
}

// MinIO denies access to an object whose folder somebody else removes at that
// moment, with the last object in it. It is asked again, to be sure.
const (
	deniedAttempts = 4
	deniedDelay    = 25 * time.Millisecond
)

// cleanupTimeout bounds what has to be done after a context has ended.
const cleanupTimeout = 30 * time.Second

// options returns what every object is stored with.
func (w *s3Writer) options() minio.PutObjectOptions {
	o := minio.PutObjectOptions{UserMetadata: map[string]string{nonceKey: w.nonce}}
	if s := w.store; s.options.Retention > 0 && w.mode == Exclusive && isKept(w.name) {
		o.Mode = minio.Governance
		if s.options.RetentionMode == Compliance {
			o.Mode = minio.Compliance
		}
		o.RetainUntilDate = time.Now().Add(s.options.Retention).UTC()
	}
	return o
}

// setCondition makes a request fail when the object exists.
func (w *s3Writer) setCondition(o *minio.PutObjectOptions) {
	if w.mode == Exclusive {
		o.SetMatchETagExcept("*")
	}
}

// Abort implements Writer. It waits for the parts under way, so that none of
// them comes in after the upload is gone.
func (w *s3Writer) Abort() error {
	if w.ended {
		return nil
	}
	w.ended = true
	w.stop(errEnded)
	w.sends.Wait()
	w.buf = nil
	if w.begun == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), cleanupTimeout)
	defer cancel()
	var err error
	if w.upload != "" {
		err = w.store.abortUpload(ctx, "abort", w.name, w.key, w.upload)
	}
	if w.begun > 1 || w.upload == "" {
		err = also(err, w.store.abortOthers(ctx, "abort", w.name, w.key, ""))
	}
	return err
}

// abortUpload removes a multipart upload; one that is gone is no error.
func (s *s3Store) abortUpload(ctx context.Context, verb, name, key, upload string) error {
	return s.options.Retry.do(ctx, s.op(verb, name), func(ctx context.Context) error {
		err := s.core.AbortMultipartUpload(ctx, s.location.Bucket, key, upload)
		err = s.fail(ctx, verb, name, "s3:AbortMultipartUpload", err)
		if errors.Is(err, errSwept) || fault.Is(err, fault.NotFound) {
			return nil
		}
		return err
	})
}

// usable returns the error that ended the writer, if any.
func (w *s3Writer) usable(verb string) error {
	if w.ended {
		return &fault.Error{Op: w.store.op(verb, w.name), Err: errEnded}
	}
	return w.firstErr()
}

func (w *s3Writer) firstErr() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// setErr keeps the first error and returns it. A failure of one part stops the
// others, and is what counts.
func (w *s3Writer) setErr(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
		w.stop(err)
	}
	return w.err
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum returns the CRC-32C of data as S3 writes it.
func checksum(data []byte) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.Checksum(data, castagnoli)))
}

// payloadHash returns the SHA-256 to sign where nothing else protects the bytes
// on their way: over plain HTTP to another machine.
func (s *s3Store) payloadHash(data []byte) string {
	if !s.signBytes {
		return ""
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
