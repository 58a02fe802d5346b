package destination

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/brockdb/brock/backup/fault"
)

// recorder is an Observer that remembers.
type recorder struct {
	mu       sync.Mutex
	calls    []Call
	requests []Request
}

func (r *recorder) Call(c Call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, c)
}

func (r *recorder) Request(q Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = append(r.requests, q)
}

func TestObservedCalls(t *testing.T) {
	var seen recorder
	dir := t.TempDir()
	d, err := Open(t.Context(), dir, Options{Observer: &seen})
	if err != nil {
		t.Fatal(err)
	}
	w, err := d.Create(t.Context(), "a/b", Exclusive)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := io.WriteString(w, "12345"); err != nil {
			t.Fatal(err)
		}
	}
	for _, end := range []error{w.Commit(t.Context()), w.Abort()} {
		if end != nil {
			t.Fatal(end)
		}
	}
	r, err := d.Open(t.Context(), "a/b", 5, -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(r); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	_, missing := d.Stat(t.Context(), "missing")
	if !fault.Is(missing, fault.NotFound) {
		t.Fatal(missing)
	}
	for _, err := range []error{
		d.List(t.Context(), "a", func(Info) error { return nil }), d.Remove(t.Context(), "a/b"), RemoveDebris(t.Context(), d, "a"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, c := range seen.calls {
		kind, failed := c.Kind()
		got = append(got, fmt.Sprintf("%s %s %s %d %v %v", c.Provider, c.Op, strings.TrimPrefix(c.Object, dir), c.Bytes, kind, failed))
	}
	want := []string{
		"file create /a/b 0 other false", "file write /a/b 15 other false", "file commit /a/b 0 other false", "file abort /a/b 0 other false",
		"file open /a/b 0 other false", "file read /a/b 10 other false", "file stat /missing 0 not found true",
		"file list /a 0 other false", "file remove /a/b 0 other false", "file debris /a 0 other false",
	}
	if !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
	if !HasDebris(d) {
		t.Error("a decorated directory has no debris")
	}
}

func TestObservedRequests(t *testing.T) {
	var seen recorder
	client, url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, "busy")
	}, func(base http.RoundTripper) http.RoundTripper { return &observeTransport{base, S3, &seen} })
	req, err := http.NewRequestWithContext(withRetries(t.Context(), 2), http.MethodPut, url+"/bucket/key?X-Amz-Signature=hunter2", strings.NewReader("12345"))
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if req, err = http.NewRequestWithContext(ctx, http.MethodGet, url, nil); err != nil {
		t.Fatal(err)
	}
	if res, err = client.Do(req); err == nil {
		_ = res.Body.Close()
		t.Fatal("a canceled request succeeded")
	}
	if len(seen.requests) != 2 {
		t.Fatalf("told of %d requests", len(seen.requests))
	}
	got := seen.requests[0]
	host := strings.TrimPrefix(url, "http://")
	if got.Op != "PUT" || got.Status != 503 || got.Sent != 5 || got.Received != 4 || got.Retries != 2 || got.Err != nil || got.Target != host+"/bucket/key" {
		t.Errorf("told %+v", got)
	}
	if got := seen.requests[1]; got.Err == nil || got.Status != 0 {
		t.Errorf("told %+v of the canceled one", got)
	}
}

func TestRequestOps(t *testing.T) {
	for _, test := range []struct {
		provider          Scheme
		method, url, want string
	}{
		{S3, "GET", "/bucket/?list-type=2&prefix=a", "LIST"},
		{S3, "GET", "/bucket/key", "GET"},
		{S3, "HEAD", "/bucket/key", "HEAD"},
		{S3, "PUT", "/bucket/key?partNumber=1&uploadId=x", "PUT"},
		{S3, "POST", "/bucket/key?uploads", "POST"},
		{MinIO, "GET", "/bucket/?uploads", "LIST"},
		{MinIO, "GET", "/bucket/?location", "OTHER"},
		{S3, "POST", "/?Action=AssumeRole", "OTHER"},
		{S3, "DELETE", "/bucket/key", "DELETE"},
		{AzBlob, "GET", "/c?restype=container&comp=list", "LIST"},
		{AzBlob, "PUT", "/c/key?comp=block", "PUT"},
		{AzBlob, "GET", "/c/key", "GET"},
		{GS, "GET", "/storage/v1/b/bucket/o?prefix=a", "LIST"},
		{GS, "GET", "/storage/v1/b/bucket/o/a%2Fb", "HEAD"},
		{GS, "GET", "/storage/v1/b/bucket/o/a%2Fb?alt=media", "GET"},
		{GS, "GET", "/storage/v1/b/bucket", "OTHER"},
		{GS, "GET", "/bucket/key", "GET"},
		{GS, "POST", "/upload/storage/v1/b/bucket/o?uploadType=multipart", "POST"},
		{GS, "DELETE", "/storage/v1/b/bucket/o/key", "DELETE"},
		{S3, "OPTIONS", "/", "OTHER"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), test.method, "http://host"+test.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := requestOp(test.provider, req); got != test.want {
			t.Errorf("%s %s %s is %s, want %s", test.provider, test.method, test.url, got, test.want)
		}
	}
}
