package destination

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// observeTransport tells an Observer about each request.
type observeTransport struct {
	base     http.RoundTripper
	provider Scheme
	observer Observer
}

// RoundTrip implements http.RoundTripper.
func (t *observeTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	o := &requestObserver{observer: t.observer, begun: time.Now(), seen: Request{
		Provider: string(t.provider), Op: requestOp(t.provider, req), Method: req.Method,
		Target: target(req), Retries: retriesOf(req.Context())}}
	req = withBody(req, func(body io.ReadCloser) io.ReadCloser { return &countedBody{body, o, true} })
	res, err := t.base.RoundTrip(req)
	if err != nil {
		o.tell(err)
		return nil, err
	}
	o.seen.Status = res.StatusCode
	res.Body = &countedBody{res.Body, o, false}
	return res, nil
}

// requestObserver collects what there is to tell about one request.
type requestObserver struct {
	observer Observer
	begun    time.Time

	mu   sync.Mutex // a body may be sent while the answer comes already
	seen Request
	told bool
}

func (o *requestObserver) count(n int, sent bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if sent {
		o.seen.Sent += int64(n)
	} else {
		o.seen.Received += int64(n)
	}
}

// tell tells the observer, once.
func (o *requestObserver) tell(err error) {
	o.mu.Lock()
	told, seen := o.told, o.seen
	o.told = true
	o.mu.Unlock()
	if told {
		return
	}
	seen.Duration, seen.Err = time.Since(o.begun), err
	o.observer.Request(seen)
}

// countedBody counts the bytes of a body. The end of that of an answer is the end
// of the request.
type countedBody struct {
	io.ReadCloser
	observer *requestObserver
	sent     bool
}

// Read implements io.Reader.
func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.observer.count(n, b.sent)
	if err != nil && !errors.Is(err, io.EOF) && !b.sent {
		b.observer.tell(err)
	}
	return n, err
}

// Close implements io.Closer.
func (b *countedBody) Close() error {
	if !b.sent {
		b.observer.tell(nil)
	}
	return b.ReadCloser.Close()
}

// requestOp says what a request does, in the words of the providers' price lists.
func requestOp(provider Scheme, req *http.Request) string {
	query := req.URL.Query()
	switch provider {
	case S3, MinIO:
		switch {
		case query.Has("location"), query.Has("Action"):
			return "OTHER" // where a bucket is; who one is
		case req.Method == http.MethodGet && (query.Has("list-type") || query.Has("uploads")):
			return "LIST"
		}
	case AzBlob:
		if query.Get("comp") == "list" {
			return "LIST"
		}
	case GS:
		return gcsOp(req)
	}
	return plainOp(req.Method)
}

// gcsOp reads the addresses of Google's JSON API: what an object is, is got from
// the same address as its content.
func gcsOp(req *http.Request) string {
	_, below, found := strings.Cut(req.URL.Path, "/storage/v1/b/")
	if !found || req.Method != http.MethodGet {
		return plainOp(req.Method)
	}
	_, object, found := strings.Cut(below, "/o")
	switch {
	case !found:
		return "OTHER" // about the bucket
	case strings.Trim(object, "/") == "":
		return "LIST"
	case req.URL.Query().Get("alt") != "media":
		return "HEAD"
	}
	return "GET"
}

func plainOp(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPut, http.MethodPost, http.MethodDelete:
		return method
	}
	return "OTHER"
}
