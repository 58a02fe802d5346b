package graph

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/brockdb/brock/worker"
)

// serveAlpha serves a node on a listener of the server's own, which counts
// connections, and returns its address.
func serveAlpha(t *testing.T, options Options) (server *Server, address string) {
	t.Helper()
	node, err := worker.Open(t.Context(), worker.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if server, err = New(options); err != nil {
		t.Fatal(err)
	}
	server.Ready(node)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		if err := server.http.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
		if err := node.Close(); err != nil {
			t.Error(err)
		}
	})
	return server, listener.Addr().String()
}

func TestDepthAndComplexity(t *testing.T) {
	a := newAlpha(t)
	deep := strings.Repeat("ofType{", 19) + "name" + strings.Repeat("}", 19)
	spread := ""
	for i := range 30 { // 2^30 fields, were each spread in full
		spread += fmt.Sprintf(" fragment f%d on __Type {...f%d ofType{...f%d}}", i, i+1, i+1)
	}
	wide := "{x:namespaces"
	for i := range 900 {
		wide += fmt.Sprintf(" a%d:__typename", i)
	}
	for name, test := range map[string]struct{ query, text string }{
		"deep":              {`{__schema{types{` + deep + `}}}`, "nested 22 deep"},
		"lists in lists":    {`{__schema{types{fields{args{type{fields{args{type{name}}}}}}}}}`, "too complex"},
		"fragments":         {`{__schema{types{...f0}}}` + spread + ` fragment f30 on __Type {name}`, "nested 33 deep"},
		"doubling":          {`{__schema{types{...f0}}}` + strings.ReplaceAll(spread, "ofType{", "...{") + ` fragment f30 on __Type {name}`, "too complex"},
		"many at the root":  {wide + "}", "901 things at once"},
		"many, not at root": {"{__schema{" + strings.Repeat(" types{name}", 600) + "}}", "fields; the limit is 1000"},
	} {
		got := a.query("/graphql", test.query)
		if got.status != http.StatusOK || !strings.Contains(got.body, test.text) || !strings.Contains(got.body, `"code":"USAGE"`) {
			t.Errorf("%s: %d %s", name, got.status, clip(got.body))
		}
	}
}

func TestNoIntrospection(t *testing.T) {
	a := startAlpha(t, t.TempDir(), worker.Options{}, Options{Limits: Limits{NoIntrospection: true}})
	for _, path := range []string{"/admin", "/graphql"} {
		for _, query := range []string{`{__schema{types{name}}}`, `{__type(name:"Query"){name}}`, `{...f} fragment f on Query{x:__schema{types{name}}}`} {
			a.wantError(path, query, "", "DENIED", "does not tell its schema")
		}
		a.want(path, `{__typename}`, "", `{"__typename":"Query"}`)
	}
	if got := a.query("/admin", `{tsks{id}}`); strings.Contains(got.body, "tasks") {
		t.Errorf("a guess tells of the schema: %s", got.body)
	}
	if got := newAlpha(t).query("/admin", `{tsks{id}}`); !strings.Contains(got.body, "tasks") {
		t.Errorf("no guess: %s", got.body)
	}
}

// drip sends a request whose body comes piece by piece, and returns the answer.
func drip(t *testing.T, address, path, piece string, pieces int, pause time.Duration) (status int, answer string) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", path, address, pieces*len(piece))
	if err != nil {
		t.Fatal(err)
	}
	stop, dripped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(dripped)
		for range pieces {
			_, _ = io.WriteString(conn, piece) // the server closes it some time
			select {
			case <-stop:
				return
			case <-time.After(pause):
			}
		}
	}()
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	close(stop)
	<-dripped
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// TestSlowBody drips bodies; they must be cut with 408, whatever the pauses.
func TestSlowBody(t *testing.T) {
	_, address := serveAlpha(t, Options{Limits: Limits{BodyGrace: 300 * time.Millisecond, ClientTimeout: 600 * time.Millisecond}})
	for _, path := range []string{"/admin", "/graphql", "/admin/backup"} {
		status, body := drip(t, address, path, " ", 100_000, 10*time.Millisecond)
		if unread := path == "/admin/backup" && status == http.StatusUnsupportedMediaType; !unread && (status != http.StatusRequestTimeout || !strings.Contains(body, "too slowly")) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	// 10 bytes a second, and no pause that is too long.
	if status, body := drip(t, address, "/load?collection=c", " ", 100_000, 100*time.Millisecond); status != http.StatusRequestTimeout || !strings.Contains(body, "too slowly") {
		t.Errorf("a load that drips: %d %s", status, body)
	}
	// Slow and steady, for longer than the grace: what it sends in each pause makes
	// up for it, a hundred times. A busy machine may pause too.
	_, address = serveAlpha(t, Options{Limits: Limits{ClientTimeout: 4 * time.Second}})
	line := `{"value":"` + strings.Repeat("x", 900) + `"}` + "\n"
	if status, body := drip(t, address, "/load?collection=c", line, 50, 100*time.Millisecond); status != http.StatusOK || !strings.Contains(body, `"records":50`) {
		t.Errorf("a load that is slow and steady: %d %s", status, body)
	}
}

// TestRequestsTakeBoundedMemory stalls two requests in the middle of their
// bodies, which together hold all the memory there is; others are told to come
// again, and can once those are gone.
func TestRequestsTakeBoundedMemory(t *testing.T) {
	server, address := serveAlpha(t, Options{Limits: Limits{RequestsBytes: 1 << 20}})
	before := server.memory.Free()
	var stalled []net.Conn
	for range 2 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := fmt.Fprintf(conn, "POST /graphql HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: 10000000\r\n\r\n", address); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(bytes.Repeat([]byte{' '}, 300_000)); err != nil {
			t.Fatal(err)
		}
		stalled = append(stalled, conn)
	}
	eventually(t, "the bodies are held", func() bool { return server.memory.Free() == 0 })
	url := "http://" + address
	post := func() int {
		res, err := http.Post(url+"/graphql", "application/graphql", strings.NewReader("{namespaces}"))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if res.StatusCode == 503 && res.Header.Get("Retry-After") == "" {
			t.Error("503 without Retry-After")
		}
		return res.StatusCode
	}
	if status := post(); status != 503 {
		t.Errorf("a request that finds no memory: %d", status)
	}
	res, err := http.Post(url+"/load?collection=c", "", strings.NewReader(`{"value":1}`))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 503 {
		t.Errorf("a load that finds no memory: %d", res.StatusCode)
	}
	if res, err := http.Get(url + "/health"); err != nil || res.StatusCode != 200 {
		t.Errorf("health: %v %v", res, err)
	} else {
		res.Body.Close()
	}
	for _, conn := range stalled {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	eventually(t, "the memory is given back", func() bool { return server.memory.Free() == before })
	if status := post(); status != 200 {
		t.Errorf("after they are gone: %d", status)
	}
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it does not become true that %s", what)
		}
	}
}

// TestConnectionsAreBounded fills a server with connections that say nothing,
// then with ones that wait between requests.
func TestConnectionsAreBounded(t *testing.T) {
	const most = 8
	server, address := serveAlpha(t, Options{Limits: Limits{Connections: most, HeaderTimeout: 300 * time.Millisecond}})
	get := func(client *http.Client) error {
		res, err := client.Get("http://" + address + "/health")
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		return err
	}
	for range 3 * most { // say half a header each, and no more
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = fmt.Fprintf(conn, "GET /health HTTP/1.1\r\nHost: ") // it may be closed already
	}
	if n := server.conns.count(); n > most {
		t.Errorf("%d connections", n)
	}
	eventually(t, "silent connections are closed", func() bool {
		transport := &http.Transport{DisableKeepAlives: true}
		return get(&http.Client{Transport: transport}) == nil
	})
	var clients []*http.Client
	for range 3 * most { // each keeps its connection
		transport := new(http.Transport)
		defer transport.CloseIdleConnections()
		client := &http.Client{Transport: transport}
		eventually(t, "one more is served beside those that wait", func() bool { return get(client) == nil })
		if n := server.conns.count(); n > most {
			t.Errorf("%d connections", n)
		}
		clients = append(clients, client)
	}
	for _, client := range clients { // those that were closed connect again
		eventually(t, "an early one is served again", func() bool { return get(client) == nil })
	}
}
