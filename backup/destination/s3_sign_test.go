package destination

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/brockdb/brock/systest/servers"
)

// TestMinIOSignedBytes writes as to another machine over plain HTTP, where the
// bytes are signed: tests reach none but this one.
func TestMinIOSignedBytes(t *testing.T) {
	m := servers.StartMinIO(t, servers.MinIOOptions{})
	if err := os.Mkdir(filepath.Join(m.Dir, "bucket"), 0o750); err != nil { // a folder is a bucket
		t.Fatal(err)
	}
	o := Options{Credentials: Credentials{AccessKey: m.AccessKey, SecretKey: m.SecretKey}, PartBytes: 5 << 20}
	d, err := Open(t.Context(), "minio://"+m.Address+"/bucket?secure=false", o)
	if err != nil {
		t.Fatal(err)
	}
	store := Unwrap(d).(*s3Store)
	if store.signBytes {
		t.Error("bytes that stay on this machine are signed")
	}
	store.signBytes = true
	for name, size := range map[string]int{"empty": 0, "small": 1000, "large": 11 << 20} {
		content := bytes.Repeat([]byte(name), size/len(name))
		if store.payloadHash(content) == "" {
			t.Fatal("no hash")
		}
		w, err := d.Create(t.Context(), name, Exclusive)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
		if err := w.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		r, err := d.Open(t.Context(), name, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err := also(err, r.Close()); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: read %d bytes of %d, %v", name, len(got), len(content), err)
		}
	}
}
