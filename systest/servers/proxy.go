package servers

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// Fault is what a Proxy does to a request.
type Fault uint8

// The faults of a bad line and of a server in trouble.
const (
	None        Fault = iota
	Delay             // passed on a little later
	Busy              // 503, not passed on
	Broken            // 500, not passed on
	CutRequest        // the connection ends within the request's body
	CutResponse       // the connection ends within the answer's body
	LostAnswer        // the server does it, and the answer never comes
	Stall             // nothing moves any more until the caller gives up
)

// Proxy stands in front of an object store and passes requests on, or does not.
type Proxy struct {
	Address string // host:port

	target string
	rename bool // requests are passed on under the server's own name
	client *http.Client
	stop   chan struct{}

	mu     sync.Mutex
	choose func(*http.Request) Fault
	done   map[Fault]int
}

// StartProxy starts a proxy in front of a server on plain HTTP. It passes all on
// until Do says otherwise.
func StartProxy(t testing.TB, address string) *Proxy {
	t.Helper()
	p := &Proxy{
		target: "http://" + address, stop: make(chan struct{}), done: map[Fault]int{},
		client: &http.Client{
			Transport:     &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 32},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	p.Do(func(*http.Request) Fault { return None })
	server := httptest.NewServer(p)
	p.Address = strings.TrimPrefix(server.URL, "http://")
	t.Cleanup(func() {
		close(p.stop)
		server.CloseClientConnections()
		server.Close()
		p.client.CloseIdleConnections()
	})
	return p
}

// StartGCSProxy starts a proxy in front of fake-gcs-server, which looks at the
// host it is called by, and names itself in the addresses that it gives out.
func StartGCSProxy(t testing.TB, address string) *Proxy {
	t.Helper()
	p := StartProxy(t, address)
	p.rename = true
	return p
}

// Do makes the proxy ask choose about every request from now on. It is called
// from many goroutines, one at a time.
func (p *Proxy) Do(choose func(*http.Request) Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.choose = choose
}

// Done returns how many requests had a fault.
func (p *Proxy) Done(f Fault) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done[f]
}

func (p *Proxy) next(r *http.Request) Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.choose(r)
	p.done[f]++
	return f
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch f := p.next(r); f {
	case Busy:
		answerError(w, r, http.StatusServiceUnavailable, "SlowDown")
	case Broken:
		answerError(w, r, http.StatusInternalServerError, "InternalError")
	case CutRequest:
		_, _ = io.CopyN(io.Discard, r.Body, max(1, r.ContentLength/2)) // of what is thrown away
		panic(http.ErrAbortHandler)
	case Stall:
		select {
		case <-r.Context().Done():
		case <-p.stop:
		case <-time.After(time.Minute): // a caller whose body nobody reads is not seen to go
		}
		panic(http.ErrAbortHandler)
	case Delay:
		time.Sleep(20 * time.Millisecond)
		p.pass(w, r, f)
	default:
		p.pass(w, r, f)
	}
}

// pass sends a request on, with the very headers that its signature is about.
func (p *Proxy) pass(w http.ResponseWriter, r *http.Request, f Fault) {
	target, err := url.Parse(p.target + r.URL.RequestURI())
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	out := r.Clone(r.Context())
	out.URL, out.RequestURI = target, ""
	if r.ContentLength == 0 {
		out.Body = http.NoBody
	}
	if p.rename {
		out.Host = target.Host
	}
	res, err := p.client.Do(out)
	if err != nil {
		panic(http.ErrAbortHandler) // the server has gone, as its own end would show
	}
	defer res.Body.Close()
	if f == LostAnswer {
		_, _ = io.Copy(io.Discard, res.Body) // of what is thrown away
		panic(http.ErrAbortHandler)
	}
	for key, values := range res.Header {
		w.Header()[key] = values
	}
	if location := res.Header.Get("Location"); p.rename && location != "" {
		w.Header().Set("Location", strings.Replace(location, p.target, "http://"+p.Address, 1))
	}
	w.WriteHeader(res.StatusCode)
	if f == CutResponse {
		_, _ = io.CopyN(w, res.Body, max(0, res.ContentLength/2))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	if _, err := io.Copy(w, res.Body); err != nil {
		panic(http.ErrAbortHandler)
	}
}

func answerError(w http.ResponseWriter, r *http.Request, status int, code string) {
	_, _ = io.Copy(io.Discard, r.Body) // so that the connection can be used again
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>injected</Message></Error>`, code)
	}
}
