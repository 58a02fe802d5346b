package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/graph"
	"github.com/brockdb/brock/worker"
)

// newAlpha returns a client of a node with a store of its own.
func newAlpha(t *testing.T) *Client {
	t.Helper()
	node, err := worker.Open(t.Context(), worker.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := node.Close(); err != nil {
			t.Error(err)
		}
	})
	server, err := graph.New(graph.Options{AuthToken: "token"})
	if err != nil {
		t.Fatal(err)
	}
	server.Ready(node)
	http := httptest.NewServer(server)
	t.Cleanup(http.Close)
	return newClient(t, http.URL)
}

func newClient(t *testing.T, url string) *Client {
	t.Helper()
	c, err := New(url, Options{AuthToken: "token"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestAddresses(t *testing.T) {
	for given, want := range map[string]string{
		"http://127.0.0.1:8080":   "http://127.0.0.1:8080",
		"127.0.0.1:8080":          "http://127.0.0.1:8080",
		"localhost":               "http://localhost",
		"https://h/behind/proxy/": "https://h/behind/proxy",
		"http://[::1]:80":         "http://[::1]:80",
	} {
		c, err := New(given, Options{})
		if err != nil || c.String() != want {
			t.Errorf("%s: %v, %v; want %s", given, c, err, want)
		}
	}
	for _, given := range []string{"", "http://", "ftp://h", "http://u:geheim@h", "http://h?geheim", "http://h#geheim", "http://geheim%zz", "http://h:port"} {
		if c, err := New(given, Options{}); !fault.Is(err, fault.Usage) || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%q: %v, %v", given, c, err)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	c := newAlpha(t)
	lines := "{\"key\":\"a\",\"value\":1}\n{\"key\":\"b\",\"value\":{\"x\":[]}}\n"
	loaded, err := c.Load(t.Context(), "ns", "c & d", strings.NewReader(lines))
	if err != nil || loaded.Records != 2 || loaded.Batches != 1 || loaded.CommitTs == 0 || loaded.Bytes == 0 {
		t.Fatalf("loaded %+v, %v", loaded, err)
	}
	var out strings.Builder
	dumped, err := c.Dump(t.Context(), "ns", "c & d", &out)
	if err != nil || out.String() != lines || dumped.Records != 2 || dumped.Bytes != int64(len(lines)) || dumped.ReadTs != loaded.CommitTs {
		t.Errorf("dumped %+v %q, %v", dumped, out.String(), err)
	}
	var answer struct{ Namespaces []string }
	if err := c.Data(t.Context(), "{ namespaces }", nil, &answer); err != nil || len(answer.Namespaces) != 1 || answer.Namespaces[0] != "ns" {
		t.Errorf("namespaces %v, %v", answer, err)
	}
	if err := c.Admin(t.Context(), "{ tasks { id } }", nil, nil); err != nil {
		t.Errorf("tasks: %v", err)
	}
}

func TestErrorsKeepKindAndHint(t *testing.T) {
	c := newAlpha(t)
	err := c.Admin(t.Context(), `mutation($to: String!) { backup(input: {destination: $to}) { taskId } }`, map[string]any{"to": "relative"}, nil)
	if !fault.Is(err, fault.Usage) || fault.HintOf(err) == "" || strings.Contains(err.Error(), fault.HintOf(err)) {
		t.Errorf("a relative destination: %v, hint %q", err, fault.HintOf(err))
	}
	if err := c.Data(t.Context(), `{ record(collection: "none", key: "k") { key } }`, nil, nil); !fault.Is(err, fault.NotFound) {
		t.Errorf("an unknown collection: %v", err)
	}
	if _, err := c.Dump(t.Context(), "", "none", io.Discard); !fault.Is(err, fault.NotFound) {
		t.Errorf("dump of an unknown collection: %v", err)
	}
	if _, err := c.Load(t.Context(), "", "a/b", strings.NewReader("")); !fault.Is(err, fault.Usage) {
		t.Errorf("load into a bad name: %v", err)
	}
	without, err := New(c.String(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := without.Admin(t.Context(), "{ tasks { id } }", nil, nil); !fault.Is(err, fault.Denied) {
		t.Errorf("without the token: %v", err)
	}
}

func TestLoadBadLine(t *testing.T) {
	c := newAlpha(t)
	good := "{\"key\":\"k\",\"value\":1}\n"
	for _, after := range []int{0, 1, 100_000} { // much more than buffers hold
		_, err := c.Load(t.Context(), "", "c", strings.NewReader(good+"nonsense\n"+strings.Repeat(good, after)))
		var bad *LineError
		if !errors.As(err, &bad) || bad.Line != 2 || bad.Stored != 1 || bad.Reason == "" {
			t.Errorf("with %d lines after it: %v", after, err)
		}
	}
}

var errBroken = errors.New("the disk is broken")

func TestLoadOfBrokenFile(t *testing.T) {
	c := newAlpha(t)
	for _, head := range []string{"", "{\"key\":\"k\",\"value\":1}\n"} {
		_, err := c.Load(t.Context(), "", "c", io.MultiReader(strings.NewReader(head), broken{}))
		if !errors.Is(err, errBroken) {
			t.Errorf("after %q: %v", head, err)
		}
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errBroken }

// Whatever ends a load ends it also while its input says nothing.
func TestLoadDoesNotWaitForInput(t *testing.T) {
	closing := func(t *testing.T) (string, chan net.Conn) { // takes a connection and gives it to the test
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = listener.Close() })
		taken := make(chan net.Conn, 1)
		go func() {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
				t.Errorf("the request: %v", err)
			}
			taken <- conn
		}()
		return "http://" + listener.Addr().String(), taken
	}
	for name, end := range map[string]func(conn net.Conn, cancel context.CancelCauseFunc) error{
		"the connection closes": func(conn net.Conn, _ context.CancelCauseFunc) error { return conn.Close() },
		"it is canceled": func(_ net.Conn, cancel context.CancelCauseFunc) error {
			cancel(errors.New("no longer of interest"))
			return nil
		},
		"an answer comes": func(conn net.Conn, _ context.CancelCauseFunc) error {
			_, err := io.WriteString(conn, "HTTP/1.1 500 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			url, taken := closing(t)
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			silent, feed := io.Pipe()
			defer feed.Close()
			failed := make(chan error, 1)
			c := newClient(t, url)
			go func() {
				_, err := c.Load(ctx, "", "c", silent)
				failed <- err
			}()
			if _, err := io.WriteString(feed, "{\"key\":\"k\",\"value\":1}\n"); err != nil {
				t.Fatal(err)
			}
			conn := <-taken
			defer conn.Close()
			if err := end(conn, cancel); err != nil {
				t.Fatal(err)
			}
			if err := <-failed; err == nil {
				t.Error("it succeeded")
			}
		})
	}
}

func TestDumpBrokenTransfer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Brock-Read-Ts", "7")
		if _, err := fmt.Fprintln(w, `{"key":"k","value":1}`); err != nil {
			t.Error(err)
		}
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}))
	defer server.Close()
	if _, err := newClient(t, server.URL).Dump(t.Context(), "", "c", io.Discard); err == nil || fault.HintOf(err) == "" {
		t.Errorf("a broken transfer: %v", err)
	}
	if _, err := newClient(t, server.URL).Dump(t.Context(), "", "c", full{}); !errors.Is(err, errBroken) {
		t.Errorf("a broken file: %v", err)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errBroken }
