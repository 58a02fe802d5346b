package destination

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/brockdb/brock/backup/fault"
)

// serve starts a server and returns a client through a transport around the usual one.
func serve(t *testing.T, handler http.HandlerFunc, wrap func(http.RoundTripper) http.RoundTripper) (*http.Client, string) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(func() {
		server.CloseClientConnections() // ends the contexts of handlers that wait
		server.Close()
	})
	base := &http.Transport{}
	t.Cleanup(base.CloseIdleConnections)
	return &http.Client{Transport: wrap(base)}, server.URL
}

func stalling(after time.Duration) func(http.RoundTripper) http.RoundTripper {
	return func(base http.RoundTripper) http.RoundTripper { return &stallTransport{base, after} }
}

func TestStallBeforeTheAnswer(t *testing.T) {
	client, url := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, stalling(50*time.Millisecond))
	notices := make(chan string, 1)
	ctx := WithNotice(t.Context(), func(text string) { notices <- text })
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/object?signature=hunter2", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Do(req)
	if err == nil {
		_ = res.Body.Close()
		t.Fatal("a request without an answer succeeded")
	}
	if !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "stalls: nothing has moved for 50ms") {
		t.Errorf("got %v", err)
	}
	if notice := <-notices; !strings.Contains(notice, "/object") || !strings.Contains(notice, "given up") || strings.Contains(notice, "hunter2") {
		t.Errorf("told %q", notice)
	}
}

func TestStallInAnAnswer(t *testing.T) {
	client, url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10")
		_, _ = io.WriteString(w, "12345")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}, stalling(50*time.Millisecond))
	res, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if string(got) != "12345" || !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestStallWhileSending(t *testing.T) {
	client, url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		// It reads nothing. The context of a request whose body was not read does
		// not end with the connection.
		select {
		case <-t.Context().Done():
		case <-time.After(2 * time.Second):
		}
	}, stalling(100*time.Millisecond))
	res, err := client.Post(url, "", bytes.NewReader(make([]byte, 64<<20)))
	if err == nil {
		_ = res.Body.Close()
	}
	if !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
}

// A reader that pauses, a slow source and waiting for bandwidth are no stalls.
func TestStallCountsTheNetworkOnly(t *testing.T) {
	const after = 200 * time.Millisecond
	client, url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		_, _ = w.Write(got)
	}, stalling(after))
	source, feed := io.Pipe()
	go func() {
		for range 3 {
			time.Sleep(after + after/2)
			_, _ = io.WriteString(feed, "x")
		}
		_ = feed.Close()
	}()
	res, err := client.Post(url, "", source)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	time.Sleep(after + after/2)
	if got, err := io.ReadAll(res.Body); err != nil || string(got) != "xxx" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestStallKeepsCancellations(t *testing.T) {
	client, url := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, stalling(time.Hour))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Do(req)
	if err == nil {
		_ = res.Body.Close()
	}
	if fault.Is(err, fault.Unavailable) || ctx.Err() == nil {
		t.Errorf("got %v", err)
	}
}
