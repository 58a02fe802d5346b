package destination

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/brockdb/brock/backup/fault"
)

// Observer is told what is done at destinations, for metrics and logs. Its
// methods are called from many goroutines and must return soon.
type Observer interface {
	// Call is told about each call of a Destination, its writers and readers,
	// when it has ended, retries included.
	Call(Call)
	// Request is told about each HTTP request to an object store, when its
	// answer was read or given up. One call makes none, one or many.
	Request(Request)
}

// Call is one call of a Destination as its caller sees it.
type Call struct {
	Provider string        // "file", "s3", "gs", "azblob"
	Op       string        // "create", "write", "commit", "abort", "open", "read", "stat", "list", "remove", "debris"
	Object   string        // its URI
	Duration time.Duration // of a read or write: what its Read or Write calls took together
	Bytes    int64         // read or written
	Err      error         // nil when it succeeded; without secrets
}

// Kind returns the kind of the error; ok is false when there is none.
func (c Call) Kind() (kind fault.Kind, ok bool) { return fault.KindOf(c.Err), c.Err != nil }

// Request is one HTTP request.
type Request struct {
	Provider string // "s3", "gs", "azblob"
	Op       string // "GET", "HEAD", "LIST", "PUT", "POST", "DELETE", "OTHER"
	Method   string // of HTTP
	Target   string // host and path, without the query: secrets may stand there
	Retries  int    // how often the same was tried before
	Status   int    // of HTTP; 0 when there was no answer
	Sent     int64  // bytes of the body
	Received int64  // bytes of the answer's body
	Duration time.Duration
	Err      error // no answer, or a broken one; a status of 400 and more is not an error here
}

// Observed returns d with every call told to o.
func Observed(d Destination, provider string, o Observer) Destination {
	return &observed{inner: d, provider: provider, observer: o}
}

type observed struct {
	inner    Destination
	provider string
	observer Observer
}

var _ Debris = (*observed)(nil)

// Unwrap returns the destination inside.
func (d *observed) Unwrap() Destination { return d.inner }

// call carries out one call and tells of it.
func (d *observed) call(op, name string, do func() (int64, error)) error {
	begun := time.Now()
	n, err := do()
	d.tell(op, name, time.Since(begun), n, err)
	return err
}

func (d *observed) tell(op, name string, took time.Duration, n int64, err error) {
	d.observer.Call(Call{Provider: d.provider, Op: op, Object: objectURI(d.inner, name), Duration: took, Bytes: n, Err: err})
}

// Create implements Destination.
func (d *observed) Create(ctx context.Context, name string, mode Mode) (w Writer, err error) {
	err = d.call("create", name, func() (int64, error) {
		w, err = d.inner.Create(ctx, name, mode)
		return 0, err
	})
	if err != nil {
		return nil, err
	}
	return &observedWriter{dest: d, name: name, inner: w}, nil
}

// Open implements Destination.
func (d *observed) Open(ctx context.Context, name string, offset, length int64) (r io.ReadCloser, err error) {
	err = d.call("open", name, func() (int64, error) {
		r, err = d.inner.Open(ctx, name, offset, length)
		return 0, err
	})
	if err != nil {
		return nil, err
	}
	return &observedReader{dest: d, name: name, inner: r}, nil
}

// Stat implements Destination.
func (d *observed) Stat(ctx context.Context, name string) (info Info, err error) {
	err = d.call("stat", name, func() (int64, error) {
		info, err = d.inner.Stat(ctx, name)
		return 0, err
	})
	return info, err
}

// List implements Destination.
func (d *observed) List(ctx context.Context, dir string, visit func(Info) error) error {
	return d.call("list", dir, func() (int64, error) { return 0, d.inner.List(ctx, dir, visit) })
}

// Remove implements Destination.
func (d *observed) Remove(ctx context.Context, name string) error {
	return d.call("remove", name, func() (int64, error) { return 0, d.inner.Remove(ctx, name) })
}

// RemoveDebris implements Debris.
func (d *observed) RemoveDebris(ctx context.Context, dir string) error {
	return d.call("debris", dir, func() (int64, error) { return 0, RemoveDebris(ctx, d.inner, dir) })
}

// String implements Destination.
func (d *observed) String() string { return d.inner.String() }

// observedWriter sums the writes up and tells of them together, at the end.
type observedWriter struct {
	dest  *observed
	name  string
	inner Writer
	took  time.Duration
	n     int64
	err   error // of Write
	told  sync.Once
}

// Write implements io.Writer.
func (w *observedWriter) Write(p []byte) (int, error) {
	begun := time.Now()
	n, err := w.inner.Write(p)
	w.took += time.Since(begun)
	w.n += int64(n)
	if w.err == nil {
		w.err = err
	}
	return n, err
}

func (w *observedWriter) tellWrites() {
	w.told.Do(func() { w.dest.tell("write", w.name, w.took, w.n, w.err) })
}

// Commit implements Writer.
func (w *observedWriter) Commit(ctx context.Context) error {
	w.tellWrites()
	return w.dest.call("commit", w.name, func() (int64, error) { return 0, w.inner.Commit(ctx) })
}

// Abort implements Writer.
func (w *observedWriter) Abort() error {
	w.tellWrites()
	return w.dest.call("abort", w.name, func() (int64, error) { return 0, w.inner.Abort() })
}

// observedReader sums the reads up and tells of them together, at Close.
type observedReader struct {
	dest  *observed
	name  string
	inner io.ReadCloser
	took  time.Duration
	n     int64
	err   error // of Read, except io.EOF
	told  sync.Once
}

// Read implements io.Reader.
func (r *observedReader) Read(p []byte) (int, error) {
	begun := time.Now()
	n, err := r.inner.Read(p)
	r.took += time.Since(begun)
	r.n += int64(n)
	if err != io.EOF && r.err == nil { //nolint:errorlint // readers return it bare
		r.err = err
	}
	return n, err
}

// Close implements io.Closer.
func (r *observedReader) Close() error {
	r.told.Do(func() { r.dest.tell("read", r.name, r.took, r.n, r.err) })
	return r.inner.Close()
}
