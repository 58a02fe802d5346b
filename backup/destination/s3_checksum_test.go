package destination_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/minio/minio-go/v7"

	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/destination/destinationtest"
)

// TestMinIOComparesChecksums flips a bit of every second body that is sent: the
// server must notice, and what is stored must be right in the end.
func TestMinIOComparesChecksums(t *testing.T) {
	server := startMinIO(t)
	var bodies, flipped atomic.Int64
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		r := p.Out
		r.URL.Scheme, r.URL.Host, r.Host = "http", server.address, p.In.Host // the host that was signed
		if r.Method != http.MethodPut || bodies.Add(1)%2 == 0 {
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil || len(body) == 0 {
			return
		}
		body[len(body)/2] ^= 1
		flipped.Add(1)
		r.Body = io.NopCloser(bytes.NewReader(body))
	}})
	t.Cleanup(proxy.Close)
	bucket := server.bucket(t, minio.MakeBucketOptions{})
	near := server.openAt(t, server.uri(bucket, ""), destination.Options{})
	throughProxy := strings.Replace(server.uri(bucket, ""), server.address, strings.TrimPrefix(proxy.URL, "http://"), 1)
	far := server.openAt(t, throughProxy, destination.Options{UploadConcurrency: 1, PartBytes: 5 << 20})
	for name, size := range map[string]int{"small": 1000, "large": 12 << 20} {
		content := bytes.Repeat([]byte("0123456789abcdef"), size/16)
		before := flipped.Load()
		destinationtest.Put(t, far, name, content)
		if flipped.Load() == before {
			t.Errorf("%s: no bit was flipped", name)
		}
		if got := destinationtest.Get(t, near, name); !bytes.Equal(got, content) {
			t.Errorf("%s: a flipped bit was stored", name)
		}
	}
}

// TestMinIOMinimalPolicy does under the policy of the documentation what small
// backups do not: large uploads, given up ones, debris.
func TestMinIOMinimalPolicy(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "providers.md"))
	if err != nil {
		t.Fatal(err)
	}
	policy := regexp.MustCompile("(?s)```json\n(.*?)```").FindSubmatch(page)
	if policy == nil {
		t.Fatal("docs/providers.md has no policy")
	}
	server := startMinIO(t)
	if err := server.client.MakeBucket(t.Context(), "backups", minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	keys := server.user(t, "minimal-user", string(policy[1]))
	d := server.openAt(t, server.uri("backups", "p"), destination.Options{Credentials: keys})
	content := make([]byte, 20<<20)
	destinationtest.Put(t, d, "folder/large", content)
	if got := destinationtest.Get(t, d, "folder/large"); !bytes.Equal(got, content) {
		t.Errorf("read %d bytes", len(got))
	}
	for _, end := range []func(destination.Writer) error{
		func(w destination.Writer) error { return w.Abort() },
		func(destination.Writer) error { return destination.RemoveDebris(t.Context(), d, "folder") },
	} {
		w, err := d.Create(t.Context(), "folder/given-up", destination.Exclusive)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
		if err := end(w); err != nil {
			t.Error(err)
		}
		if err := w.Abort(); err != nil {
			t.Error(err)
		}
		if left := server.uploads(t, "backups"); len(left) > 0 {
			t.Errorf("uploads are left: %q", left)
		}
	}
	if err := d.Remove(t.Context(), "folder/large"); err != nil {
		t.Error(err)
	}
	if names := destinationtest.Names(t, d, ""); len(names) > 0 {
		t.Errorf("left: %q", names)
	}
}
