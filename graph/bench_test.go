package graph

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/brockdb/brock/worker"
)

func benchServer(b *testing.B) *Server {
	b.Helper()
	node, err := worker.Open(b.Context(), worker.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := node.Close(); err != nil {
			b.Error(err)
		}
	})
	server, err := New(Options{})
	if err != nil {
		b.Fatal(err)
	}
	server.Ready(node)
	return server
}

func newRequest(method, path string, body io.Reader) (*http.Request, *httptest.ResponseRecorder) {
	req := httptest.NewRequest(method, path, body)
	req.Host = "alpha"
	return req, httptest.NewRecorder()
}

// BenchmarkLoad stores records over HTTP.
func BenchmarkLoad(b *testing.B) {
	var text strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&text, `{"key":"user/%08d","value":{"name":"User %d","age":%d,"tags":["a","b"],"score":%d.25}}`+"\n", i*7919%100_000, i, i%99, i%1000)
	}
	server := benchServer(b)
	b.SetBytes(int64(text.Len()))
	for b.Loop() {
		req, res := newRequest(http.MethodPost, "/load?collection=c", strings.NewReader(text.String()))
		server.ServeHTTP(res, req)
		if res.Code != http.StatusOK {
			b.Fatal(res.Body)
		}
	}
}

// BenchmarkDump streams a collection.
func BenchmarkDump(b *testing.B) {
	server := benchServer(b)
	text := numbered(100_000)
	req, res := newRequest(http.MethodPost, "/load?collection=c", strings.NewReader(text))
	server.ServeHTTP(res, req)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		req, res := newRequest(http.MethodGet, "/dump?collection=c", nil)
		server.ServeHTTP(res, req)
		if res.Body.Len() != len(text) {
			b.Fatal(res.Body.Len())
		}
	}
}

// BenchmarkQuery reads one record by a query that is kept parsed.
func BenchmarkQuery(b *testing.B) {
	server := benchServer(b)
	req, res := newRequest(http.MethodPost, "/load?collection=c", strings.NewReader(numbered(1000)))
	server.ServeHTTP(res, req)
	for b.Loop() {
		req, res := newRequest(http.MethodPost, "/graphql", strings.NewReader(
			`{"query":"query($k: String!) {record(collection: \"c\", key: $k) {value version}}","variables":{"k":"k000500"}}`))
		req.Header.Set("Content-Type", "application/json")
		server.ServeHTTP(res, req)
		if !strings.HasPrefix(res.Body.String(), `{"data":{"record":{"value":`) {
			b.Fatal(res.Body)
		}
	}
}
