package destination

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brockdb/brock/backup/fault"
)

func TestNewBandwidth(t *testing.T) {
	if b, err := NewBandwidth(0); b != nil || err != nil {
		t.Errorf("0: %v, %v", b, err)
	}
	for _, n := range []int64{-1, 1, minBandwidth - 1} {
		if _, err := NewBandwidth(n); !fault.Is(err, fault.Usage) {
			t.Errorf("%d: %v", n, err)
		}
	}
}

// The fake clock of the bubble makes the rate exact.
func TestLimitedReadsAndWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, err := NewDir(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		b, err := NewBandwidth(1 << 20)
		if err != nil {
			t.Fatal(err)
		}
		d := Limited(dir, b)
		content := bytes.Repeat([]byte("0123456789abcdef"), 10<<20/16)
		wantTook := func(what string, do func() error) {
			t.Helper()
			begun := time.Now()
			if err := do(); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begun).Round(time.Second); took != 10*time.Second {
				t.Errorf("%s of 10 MiB at 1 MiB/s took %v", what, took)
			}
		}
		wantTook("writing", func() error {
			w, err := d.Create(t.Context(), "object", Exclusive)
			if err != nil {
				return err
			}
			if n, err := w.Write(content); err != nil || n != len(content) {
				t.Fatalf("wrote %d, %v", n, err)
			}
			return w.Commit(t.Context())
		})
		wantTook("reading", func() error {
			r, err := d.Open(t.Context(), "object", 0, -1)
			if err != nil {
				return err
			}
			defer r.Close()
			got, err := io.ReadAll(r)
			if !bytes.Equal(got, content) {
				t.Error("other bytes came back")
			}
			return err
		})
	})
}

func TestLimitedWriteIsCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, err := NewDir(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		b, err := NewBandwidth(minBandwidth)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		w, err := Limited(dir, b).Create(ctx, "object", Exclusive)
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second, cancel)
		begun := time.Now()
		if _, err := w.Write(make([]byte, 10<<20)); !fault.Is(err, fault.Canceled) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(begun); took > 2*time.Second {
			t.Errorf("ended %v after the cancellation", took)
		}
		if err := w.Abort(); err != nil {
			t.Error(err)
		}
	})
}

// loopback answers a request with its own body.
type loopback struct{}

func (loopback) RoundTrip(req *http.Request) (*http.Response, error) {
	sent, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(sent))}, req.Body.Close()
}

// Both directions have the whole bandwidth, and requests share it.
func TestLimitTransport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := NewBandwidth(1 << 20)
		if err != nil {
			t.Fatal(err)
		}
		client := &http.Client{Transport: &limitTransport{loopback{}, b}}
		begun := time.Now()
		done := make(chan error, 2)
		for range cap(done) {
			go func() {
				res, err := client.Post("http://store/object", "", bytes.NewReader(make([]byte, 2<<20)))
				if err == nil {
					_, err = io.Copy(io.Discard, res.Body)
					_ = res.Body.Close()
				}
				done <- err
			}()
		}
		for range cap(done) {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(begun).Round(time.Second); took != 8*time.Second {
			t.Errorf("2 x 2 MiB there and then back at 1 MiB/s took %v", took)
		}
	})
}
