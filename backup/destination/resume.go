package destination

import (
	"context"
	"errors"
	"io"

	"github.com/brockdb/brock/backup/fault"
)

// reopener is implemented by readers that can be opened once more elsewhere in
// the very same object. After it was replaced or removed meanwhile that is an
// error, never a mix of two.
type reopener interface {
	reopen(ctx context.Context, offset, length int64) (io.ReadCloser, error)
}

// resumingReader reads on where a connection broke. Each time it gets further,
// the count of attempts begins again: a bad line is slow, but not fatal.
type resumingReader struct {
	ctx    context.Context // of Open: it governs Read
	dest   *retrying
	name   string
	offset int64 // of the next byte
	length int64 // still to come; negative: to the end
	inner  io.ReadCloser
	broken error // why inner cannot be read any more; nil while it can
	err    error // final
}

// Read implements io.Reader.
func (r *resumingReader) Read(p []byte) (n int, err error) {
	if r.err != nil || len(p) == 0 {
		return 0, r.err
	}
	if r.broken == nil {
		n, err = r.read(p)
	}
	if r.broken != nil && n == 0 {
		n, err = r.resume(p)
	}
	r.err = err
	return n, err
}

// read reads from inner. A passing error is kept in broken and not returned:
// the bytes that came before it are good.
func (r *resumingReader) read(p []byte) (n int, err error) {
	n, err = r.inner.Read(p)
	r.offset += int64(n)
	if r.length > 0 {
		r.length -= int64(n)
	}
	// An object that is shorter than it must be is of kind Corrupt: it does not grow.
	if fault.Is(err, fault.Unavailable) {
		r.broken, err = err, nil
		_ = r.inner.Close() // only read
	}
	return n, err
}

// resume opens the object at the offset reached and reads the next bytes.
func (r *resumingReader) resume(p []byte) (n int, err error) {
	if r.length == 0 {
		return 0, io.EOF // only the end of the answer is missing
	}
	first := true
	var end error
	err = r.dest.retry.do(r.ctx, r.dest.op("read", r.name), func(ctx context.Context) error {
		if first { // the attempt that broke
			first = false
			return r.broken
		}
		fresh, err := r.open(ctx)
		if err != nil {
			return err
		}
		r.inner, r.broken = fresh, nil
		n, err = r.read(p)
		if errors.Is(err, io.EOF) {
			end, err = err, nil
		}
		if n == 0 && err == nil {
			return r.broken
		}
		return err
	})
	if err == nil {
		err = end
	}
	return n, err
}

func (r *resumingReader) open(ctx context.Context) (io.ReadCloser, error) {
	if pinned, ok := r.inner.(reopener); ok {
		return pinned.reopen(ctx, r.offset, r.length)
	}
	return r.dest.Destination.Open(ctx, r.name, r.offset, r.length)
}

// Close implements io.Closer.
func (r *resumingReader) Close() error {
	if r.broken != nil {
		return nil // closed already
	}
	return r.inner.Close()
}
