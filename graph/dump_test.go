package graph

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestDumpChooses(t *testing.T) {
	a := newAlpha(t)
	text := numbered(30)
	lines := strings.SplitAfter(text, "\n")
	if got := a.load("c", strings.NewReader(text)); got.status != 200 {
		t.Fatal(got.body)
	}
	for query, want := range map[string]string{
		"":                                       strings.Join(lines, ""),
		"&prefix=k00001":                         strings.Join(lines[10:20], ""),
		"&from=k000028":                          strings.Join(lines[28:], ""),
		"&to=k000002":                            strings.Join(lines[:2], ""),
		"&prefix=k00001&from=k000015&to=k000017": strings.Join(lines[15:17], ""),
		"&prefix=x":                              "",
	} {
		got := a.get("/dump?collection=c" + query)
		if got.body != want || got.status != 200 || got.header.Get("Content-Type") != "application/x-ndjson" {
			t.Errorf("%s: %d %s", query, got.status, got.body)
		}
	}
	first := a.get("/dump?collection=c").header.Get(readTsHeader)
	a.query("/graphql", `mutation {put(input: {collection: "d", records: [{value: 1}]}) {commitTs}}`)
	if second := a.get("/dump?collection=c").header.Get(readTsHeader); first == "" || len(second) < len(first) || second == first {
		t.Errorf("read ts %q, then %q", first, second)
	}
}

func TestDumpIsRefused(t *testing.T) {
	a := newAlpha(t)
	a.checkError(a.get("/dump?collection=c"), http.StatusNotFound, "NOT_FOUND", "default/c")
	a.checkError(a.get("/dump"), http.StatusBadRequest, "USAGE", "it names no collection")
	a.checkError(a.get("/dump?collection=c&after=x"), http.StatusBadRequest, "USAGE", "there is no parameter")
	a.checkError(a.get("/dump?collection=*"), http.StatusBadRequest, "USAGE", "the name has one of the characters")

	req := httptest.NewRequest(http.MethodGet, "/dump?collection=c", nil)
	req.Host, req.Proto, req.ProtoMajor, req.ProtoMinor = "alpha", "HTTP/1.0", 1, 0
	res := httptest.NewRecorder()
	a.server.ServeHTTP(res, req)
	if res.Code != http.StatusHTTPVersionNotSupported {
		t.Errorf("HTTP/1.0: %d", res.Code)
	}
}

func TestDumpWithGzip(t *testing.T) {
	a := newAlpha(t)
	text := numbered(3_000)
	if got := a.load("c", strings.NewReader(text)); got.status != 200 {
		t.Fatal(got.body)
	}
	for accept, packed := range map[string]bool{
		"gzip": true, "br, GZIP;q=0.5": true, "deflate,gzip;q=1.0,*;q=0": true,
		"identity": false, "gzip;q=0": false, "gzip; q=0.0": false, "br": false,
	} {
		got := a.get("/dump?collection=c", "Accept-Encoding", accept)
		body := got.body
		if packed {
			reader, err := gzip.NewReader(strings.NewReader(body))
			if err != nil {
				t.Fatalf("%s: %v", accept, err)
			}
			unpacked, err := io.ReadAll(reader)
			if err != nil {
				t.Fatalf("%s: %v", accept, err)
			}
			body = string(unpacked)
		}
		if (got.header.Get("Content-Encoding") == "gzip") != packed || body != text || got.header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("%s: %v, %d bytes", accept, got.header, len(got.body))
		}
	}
}

// loadLarge stores more than the buffers of a connection hold.
func (a *alpha) loadLarge(collection string) {
	a.Helper()
	var text strings.Builder
	for i := range 600 {
		fmt.Fprintf(&text, "{\"key\":\"k%04d\",\"value\":\"%s\"}\n", i, strings.Repeat("v", 20_000))
	}
	if got := a.load(collection, strings.NewReader(text.String())); got.status != 200 {
		a.Fatal(got.body)
	}
}

// dialSmall connects with a small receive buffer.
func (a *alpha) dialSmall(server *httptest.Server) net.Conn {
	a.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(server.URL, "http://"))
	if err == nil {
		err = conn.(*net.TCPConn).SetReadBuffer(16 << 10)
	}
	if err != nil {
		a.Fatal(err)
	}
	return conn
}

// TestBrokenDump ends the store in the middle of a dump: the client must see
// that the transfer broke off.
func TestBrokenDump(t *testing.T) {
	a := newAlpha(t)
	a.loadLarge("c")
	conn := a.dialSmall(a.http)
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /dump?collection=c HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body := bufio.NewReader(res.Body)
	if line, err := body.ReadString('\n'); err != nil || !strings.HasPrefix(line, `{"key":"k0000"`) {
		t.Fatalf("%v: %s", err, clip(line))
	}
	closed := make(chan error, 1)
	go func() { closed <- a.node.Close() }()
	for a.get("/state").status == http.StatusOK { // until it is closing
		time.Sleep(time.Millisecond)
	}
	if n, err := io.Copy(io.Discard, body); err == nil {
		t.Errorf("%d more bytes, and no sign of the end", n)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

// TestClientThatStops takes nothing of a dump, and sends nothing of a load: the
// request ends, and with it the snapshot it holds.
func TestClientThatStops(t *testing.T) {
	a := newAlpha(t)
	a.loadLarge("c")
	ended := make(chan string, 2)
	impatient := httptest.NewServer(slowClients(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			_ = recover() // the abort of a dump
			ended <- r.URL.Path
		}()
		a.server.ServeHTTP(w, r)
	}), 50*time.Millisecond, time.Minute))
	defer impatient.Close()
	for _, request := range []string{
		"GET /dump?collection=c HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /load?collection=d HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{\"value\":1}\n{\"val",
	} {
		conn := a.dialSmall(impatient)
		defer conn.Close()
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		select {
		case path := <-ended:
			t.Logf("%s ended", path)
		case <-time.After(20 * time.Second):
			t.Fatalf("%s does not end", request[:9])
		}
	}
	if dumped := a.dump("d"); dumped != "{\"key\":\"0x1\",\"value\":1}\n" {
		t.Errorf("of the load is stored: %s", dumped)
	}
}

// TestSlowHandler takes longer than a client may: that is not the client's fault.
func TestSlowHandler(t *testing.T) {
	const timeout = 20 * time.Millisecond
	server := httptest.NewServer(slowClients(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Error(err)
		}
		if n, err := r.Body.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) { // as decoders do
			t.Errorf("after the end: %d, %v", n, err)
		}
		for range 3 {
			select {
			case <-time.After(3 * timeout):
			case <-r.Context().Done():
				t.Error("the request was canceled")
			}
			if _, err := io.WriteString(w, "part "); err != nil {
				t.Error(err)
			}
		}
	}), timeout, time.Minute))
	defer server.Close()
	for range 2 { // on one connection
		res, err := http.Post(server.URL, "text/plain", strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		if err := errors.Join(err, res.Body.Close()); err != nil || string(text) != "part part part " {
			t.Errorf("%q, %v", text, err)
		}
	}
}
