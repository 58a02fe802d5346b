package destination

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/brockdb/brock/backup/fault"
)

// stallTransport gives up a request on which nothing has moved for too long,
// in either direction, and says so to the notices of its context. The error is
// of kind Unavailable, so that the request is made again.
//
// Only the time counts that the network takes: not that of a reader who does
// not read, nor that of waiting for bandwidth.
type stallTransport struct {
	base  http.RoundTripper
	after time.Duration
}

// RoundTrip implements http.RoundTripper.
func (t *stallTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	op := req.Method + " " + target(req)
	w := newWatch(t.after, func() {
		err := fault.New(fault.Unavailable, op, "the connection stalls: nothing has moved for %v", t.after)
		notify(ctx, fmt.Sprintf("%v; the request is given up", err))
		cancel(err)
	})
	req = withBody(req.WithContext(ctx), func(body io.ReadCloser) io.ReadCloser {
		return &sentBody{body, w}
	})
	res, err := t.base.RoundTrip(req)
	if err != nil {
		w.stop()
		if stalled := w.stalled(ctx); stalled != nil {
			err = stalled
		}
		cancel(nil)
		return nil, err
	}
	w.pause()
	res.Body = &receivedBody{inner: res.Body, ctx: ctx, cancel: cancel, watch: w}
	return res, nil
}

// target returns what a request is about. A query may hold a signature.
func target(req *http.Request) string { return req.URL.Host + req.URL.Path }

// watch calls stall when it is not touched for too long while it runs.
type watch struct {
	after time.Duration
	timer *time.Timer

	mu      sync.Mutex
	paused  bool
	stopped bool
	fired   bool
}

func newWatch(after time.Duration, stall func()) *watch {
	w := &watch{after: after}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(after, func() {
		w.mu.Lock()
		fire := !w.paused && !w.stopped
		w.fired = w.fired || fire
		w.mu.Unlock()
		if fire {
			stall()
		}
	})
	return w
}

// resume begins, or begins again, to count the time.
func (w *watch) resume() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.stopped {
		w.paused = false
		w.timer.Reset(w.after)
	}
}

func (w *watch) pause() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.paused = true
	w.timer.Stop()
}

func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	w.timer.Stop()
}

// stalled returns the error of the stall, or nil when there was none.
func (w *watch) stalled(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.fired {
		return nil
	}
	return context.Cause(ctx)
}

// sentBody is the body of a request: that its next piece is asked for shows that
// the one before has moved.
type sentBody struct {
	io.ReadCloser
	watch *watch
}

// Read implements io.Reader.
func (b *sentBody) Read(p []byte) (int, error) {
	b.watch.pause()
	n, err := b.ReadCloser.Read(p)
	b.watch.resume()
	return n, err
}

// receivedBody is the body of an answer.
type receivedBody struct {
	inner  io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	watch  *watch
}

// Read implements io.Reader.
func (b *receivedBody) Read(p []byte) (int, error) {
	b.watch.resume()
	n, err := b.inner.Read(p)
	b.watch.pause()
	if err != nil && err != io.EOF { //nolint:errorlint // readers return it bare
		if stalled := b.watch.stalled(b.ctx); stalled != nil {
			err = stalled
		}
	}
	return n, err
}

// Close implements io.Closer.
func (b *receivedBody) Close() error {
	b.watch.stop()
	err := b.inner.Close()
	b.cancel(nil)
	return err
}
