package destination

import (
	"context"
	"io"
	"net/http"

	"golang.org/x/time/rate"

	"github.com/brockdb/brock/backup/fault"
)

// Bandwidth bounds how many bytes per second go to destinations and, counted
// apart, come from them. All that share one share its bytes. A nil Bandwidth
// bounds nothing.
type Bandwidth struct{ up, down *rate.Limiter }

// bandwidthPiece is how much passes at once: small, so that the line is used
// evenly, and no burst fills the queues of a router.
const bandwidthPiece = 32 << 10

// minBandwidth keeps a slow line apart from one that stalls.
const minBandwidth = 1 << 10

// NewBandwidth returns a bound of so many bytes per second, at least 1 KiB, in
// each direction; nil for 0.
func NewBandwidth(bytesPerSecond int64) (*Bandwidth, error) {
	if bytesPerSecond == 0 {
		return nil, nil
	}
	if bytesPerSecond < minBandwidth {
		return nil, fault.New(fault.Usage, "bound the bandwidth", "%d bytes per second is not 0 and below %d", bytesPerSecond, minBandwidth)
	}
	limit := rate.Limit(bytesPerSecond)
	return &Bandwidth{rate.NewLimiter(limit, bandwidthPiece), rate.NewLimiter(limit, bandwidthPiece)}, nil
}

// limitedReader waits after each read until its bytes are due.
type limitedReader struct {
	io.ReadCloser
	ctx     context.Context
	limiter *rate.Limiter
}

// Read implements io.Reader.
func (r *limitedReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p[:min(len(p), bandwidthPiece)])
	if n > 0 {
		if werr := r.limiter.WaitN(r.ctx, n); werr != nil && err == nil {
			err = canceled(r.ctx, "wait for bandwidth", werr)
		}
	}
	return n, err
}

// canceled is the error of a wait that ctx ended. A limiter refuses at once when
// a deadline would pass meanwhile.
func canceled(ctx context.Context, op string, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return &fault.Error{Kind: fault.Canceled, Op: op, Err: err}
}

// limitTransport bounds the bodies of requests and answers.
type limitTransport struct {
	base  http.RoundTripper
	limit *Bandwidth
}

// RoundTrip implements http.RoundTripper.
func (t *limitTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	req = withBody(req, func(body io.ReadCloser) io.ReadCloser {
		return &limitedReader{body, ctx, t.limit.up}
	})
	res, err := t.base.RoundTrip(req)
	if err == nil {
		res.Body = &limitedReader{res.Body, ctx, t.limit.down}
	}
	return res, err
}

// withBody returns req with wrap around its body, whenever that is read.
func withBody(req *http.Request, wrap func(io.ReadCloser) io.ReadCloser) *http.Request {
	if req.Body == nil || req.Body == http.NoBody {
		return req
	}
	req = req.WithContext(req.Context()) // a RoundTripper may not change what it was given
	req.Body = wrap(req.Body)
	if again := req.GetBody; again != nil {
		req.GetBody = func() (io.ReadCloser, error) {
			body, err := again()
			if err != nil {
				return nil, err
			}
			return wrap(body), nil
		}
	}
	return req
}

// Limited returns d with what is written and read bounded by b. For object
// stores the bound is on the connection instead, see Options.
func Limited(d Destination, b *Bandwidth) Destination { return &limited{Destination: d, limit: b} }

type limited struct {
	Destination
	limit *Bandwidth
}

var _ Debris = (*limited)(nil)

// Unwrap returns the destination inside.
func (d *limited) Unwrap() Destination { return d.Destination }

// Create implements Destination.
func (d *limited) Create(ctx context.Context, name string, mode Mode) (Writer, error) {
	w, err := d.Destination.Create(ctx, name, mode)
	if err != nil {
		return nil, err
	}
	return &limitedWriter{w, ctx, d.limit.up}, nil
}

// Open implements Destination.
func (d *limited) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	r, err := d.Destination.Open(ctx, name, offset, length)
	if err != nil {
		return nil, err
	}
	return &limitedReader{r, ctx, d.limit.down}, nil
}

// RemoveDebris implements Debris.
func (d *limited) RemoveDebris(ctx context.Context, dir string) error {
	return RemoveDebris(ctx, d.Destination, dir)
}

// limitedWriter waits before each piece until it is due.
type limitedWriter struct {
	Writer
	ctx     context.Context
	limiter *rate.Limiter
}

// Write implements io.Writer.
func (w *limitedWriter) Write(p []byte) (total int, err error) {
	for {
		piece := p[:min(len(p), bandwidthPiece)]
		if err := w.limiter.WaitN(w.ctx, len(piece)); err != nil {
			return total, canceled(w.ctx, "wait for bandwidth", err)
		}
		n, err := w.Writer.Write(piece)
		total += n
		p = p[n:]
		if err != nil || len(p) == 0 {
			return total, err
		}
	}
}
