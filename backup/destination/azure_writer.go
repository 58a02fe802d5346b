package destination

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"

	"github.com/brockdb/brock/backup/fault"
)

// maxBlocks is the limit of a block blob.
const maxBlocks = 50_000

// Create implements Destination. Nothing is sent until a block is full.
func (s *azureStore) Create(ctx context.Context, name string, mode Mode) (Writer, error) {
	if err := s.check(ctx, "create", name); err != nil {
		return nil, err
	}
	if err := s.checkMode(name, mode); err != nil {
		return nil, err
	}
	w := &azureWriter{ctx: ctx, store: s, name: name, mode: mode, nonce: newNonce(), blob: s.client.NewBlockBlobClient(s.key(name))}
	w.sending, w.stop = context.WithCancelCause(ctx)
	return w, nil
}

// azureWriter collects a block at a time and stages it beside its caller. An
// object of one block is sent with one request, at Commit. Staged blocks that
// were not committed are never seen; Azure drops them after a week, there is
// no request for it.
type azureWriter struct {
	ctx     context.Context // of Create: it governs Write
	sending context.Context // of the requests for blocks; canceled when one failed
	stop    context.CancelCauseFunc
	store   *azureStore
	blob    *blockblob.Client
	name    string
	mode    Mode
	nonce   string // tells our object from another of the same name, and our blocks

	buf    []byte
	blocks []string // their ids
	sends  sync.WaitGroup

	mu    sync.Mutex
	err   error // what went wrong first; final
	ended bool
}

// Write implements io.Writer.
func (w *azureWriter) Write(p []byte) (int, error) {
	if err := w.usable("write"); err != nil {
		return 0, err
	}
	limit := int(w.store.options.PartBytes)
	total := 0
	for len(p) > 0 {
		if err := w.ctx.Err(); err != nil {
			return total, w.setErr(w.store.fail(w.ctx, "write", w.name, "", err))
		}
		if len(w.buf) == limit {
			if err := w.stage(); err != nil {
				return total, w.setErr(err)
			}
		}
		n := min(len(p), limit-len(w.buf))
		if len(w.blocks) > 0 && cap(w.buf) == 0 {
			w.buf = make([]byte, 0, limit) // the next one is full as well
		}
		w.buf = append(w.buf, p[:n]...)
		p = p[n:]
		total += n
	}
	return total, w.firstErr()
}

// stage begins to send the block in buf as soon as fewer than UploadConcurrency
// are under way.
func (w *azureWriter) stage() error {
	s := w.store
	if len(w.blocks) == maxBlocks {
		return fault.New(fault.Usage, s.op("write", w.name), "it needs more than %d blocks of %d bytes", maxBlocks, s.options.PartBytes).
			WithHint("choose larger parts")
	}
	select {
	case s.sending <- struct{}{}:
	case <-w.sending.Done():
		if err := w.firstErr(); err != nil {
			return err
		}
		return s.fail(w.sending, "write", w.name, "", w.sending.Err())
	}
	block := w.buf
	w.buf = nil
	// The blocks that two writers stage for one name lie together.
	id := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%s%06d", w.nonce, len(w.blocks)))
	w.blocks = append(w.blocks, id)
	w.sends.Go(func() {
		defer func() { <-s.sending }()
		sum := md5.Sum(block)
		err := s.options.Retry.do(w.sending, s.op("write", w.name), func(ctx context.Context) error {
			_, err := w.blob.StageBlock(ctx, id, bodyOf(block), &blockblob.StageBlockOptions{
				TransactionalValidation: blob.TransferValidationTypeMD5(sum[:])})
			return s.fail(ctx, "write", w.name, "blobs/write", err)
		})
		if err != nil {
			_ = w.setErr(err) // the next call returns it
		}
	})
	return nil
}

// Commit implements Writer.
func (w *azureWriter) Commit(ctx context.Context) error {
	if err := w.usable("commit"); err != nil {
		return err
	}
	for _, c := range []context.Context{ctx, w.ctx} {
		if err := c.Err(); err != nil {
			return w.setErr(w.store.fail(c, "commit", w.name, "", err))
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(w.ctx, func() { cancel(context.Cause(w.ctx)) })()
	defer context.AfterFunc(ctx, func() { w.stop(context.Cause(ctx)) })()
	if len(w.blocks) > 0 && len(w.buf) > 0 {
		if err := w.stage(); err != nil {
			return w.setErr(err)
		}
	}
	w.sends.Wait()
	if err := w.firstErr(); err != nil {
		return err
	}
	request := w.put
	if len(w.blocks) > 0 {
		request = w.join
	}
	p := &publication{bucket: &w.store.bucket, retry: w.store.options.Retry, name: w.name, mode: w.mode, nonce: w.nonce,
		stored: w.storedNonce, remove: w.store.Remove}
	if err := p.run(ctx, w.store.options.Retry, request); err != nil {
		return w.setErr(err)
	}
	w.ended = true
	w.stop(nil)
	w.buf = nil
	return nil
}

// put sends the whole object with one request.
func (w *azureWriter) put(ctx context.Context) error {
	sum := md5.Sum(w.buf)
	_, err := w.blob.Upload(ctx, bodyOf(w.buf), &blockblob.UploadOptions{
		Metadata: w.metadata(), AccessConditions: w.conditions(), TransactionalValidation: blob.TransferValidationTypeMD5(sum[:])})
	return w.store.fail(ctx, "commit", w.name, "blobs/write", err)
}

// join makes the object of its blocks. They are gone when somebody else has
// committed an object of this name meanwhile.
func (w *azureWriter) join(ctx context.Context) error {
	_, err := w.blob.CommitBlockList(ctx, w.blocks, &blockblob.CommitBlockListOptions{
		Metadata: w.metadata(), AccessConditions: w.conditions()})
	err = w.store.fail(ctx, "commit", w.name, "blobs/write", err)
	if errors.Is(err, errSwept) && w.mode == Exclusive {
		if _, statErr := w.store.Stat(ctx, w.name); statErr == nil {
			return &fault.Error{Kind: fault.Exists, Op: w.store.op("commit", w.name), Err: errors.New("another writer was faster")}
		}
	}
	return err
}

func (w *azureWriter) storedNonce(ctx context.Context) (string, error) {
	found, err := w.store.properties(ctx, "commit", w.name)
	if err != nil {
		return "", err
	}
	for key, value := range found.Metadata { // HTTP changes the case of keys
		if bytes.EqualFold([]byte(key), []byte(nonceMetadata)) && value != nil {
			return *value, nil
		}
	}
	return "", nil
}

func (w *azureWriter) metadata() map[string]*string {
	return map[string]*string{nonceMetadata: &w.nonce}
}

// conditions make a request fail when the object exists.
func (w *azureWriter) conditions() *blob.AccessConditions {
	if w.mode == Replace {
		return nil
	}
	nothing := azcore.ETagAny
	return &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfNoneMatch: &nothing}}
}

// Abort implements Writer.
func (w *azureWriter) Abort() error {
	if w.ended {
		return nil
	}
	w.ended = true
	w.stop(errEnded)
	w.sends.Wait()
	w.buf = nil
	return nil
}

// usable returns the error that ended the writer, if any.
func (w *azureWriter) usable(verb string) error {
	if w.ended {
		return &fault.Error{Op: w.store.op(verb, w.name), Err: errEnded}
	}
	return w.firstErr()
}

func (w *azureWriter) firstErr() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// setErr keeps the first error and returns it: it stops the other blocks, and is
// what counts.
func (w *azureWriter) setErr(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
		w.stop(err)
	}
	return w.err
}

type seekBody struct{ *bytes.Reader }

// Close implements io.Closer.
func (seekBody) Close() error { return nil }

func bodyOf(data []byte) io.ReadSeekCloser { return seekBody{bytes.NewReader(data)} }
