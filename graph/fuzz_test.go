package graph

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/brockdb/brock/worker"
)

// FuzzRequest sends what may be a request, as it stands on a connection, or what
// is left of one that was cut. Whatever it is, it is answered: with JSON where
// GraphQL is spoken, never with 500 or a panic, and what it took is given back.
func FuzzRequest(f *testing.F) {
	node, err := worker.Open(f.Context(), worker.Options{Dir: f.TempDir()})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if err := node.Close(); err != nil {
			f.Error(err)
		}
	})
	server, err := New(Options{DataBodyBytes: 64 << 10, LoadLineBytes: 4 << 10, CORSOrigins: []string{"https://ops.example"},
		Limits: Limits{RequestsBytes: 32 << 20}})
	if err != nil {
		f.Fatal(err)
	}
	server.Ready(node)
	for _, seed := range requestSeeds() {
		f.Add([]byte(seed))
		for _, cut := range []int{len(seed) / 3, len(seed) / 2, len(seed) - 1} {
			f.Add([]byte(seed[:cut]))
		}
	}
	free := server.memory.Free()
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(text)))
		if err != nil {
			return // net/http answers that
		}
		r.RemoteAddr = "127.0.0.1:1"
		w := httptest.NewRecorder()
		func() {
			defer func() {
				if p := recover(); p != nil && p != any(http.ErrAbortHandler) {
					panic(p)
				}
			}()
			server.ServeHTTP(w, r)
		}()
		if w.Code == http.StatusInternalServerError || w.Code < 200 || w.Code > 599 {
			t.Errorf("status %d: %s", w.Code, w.Body)
		}
		path := r.URL.Path
		spoken := path == "/admin" || path == "/graphql"
		if spoken && strings.HasPrefix(w.Header().Get("Content-Type"), "application/json") && !json.Valid(w.Body.Bytes()) {
			t.Errorf("no JSON: %q", w.Body)
		}
		if server.memory.Free() != free {
			t.Errorf("%d bytes stay taken", free-server.memory.Free())
		}
	})
}

func requestSeeds() (seeds []string) {
	post := func(path, contentType, body string, header ...string) {
		text := "POST " + path + " HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: " + contentType + "\r\n" + strings.Join(header, "\r\n")
		if len(header) > 0 {
			text += "\r\n"
		}
		seeds = append(seeds, text+"Content-Length: "+strconv.Itoa(len(body))+"\r\n\r\n"+body)
	}
	const graphql, jsonType = "application/graphql", "application/json"
	post("/graphql", graphql, `{records(collection: "c", first: 3) {records {key value} next}}`)
	post("/graphql", jsonType, `{"query":"mutation($r: [PutRecord!]!) {put(input: {collection: \"c\", records: $r}) {commitTs keys}}","variables":{"r":[{"value":{"a":[1,null,"x"]}}]}}`)
	post("/graphql", graphql, `mutation {put(input: {collection: "c", records: [{key: "k", value: {a: [1.50, "\u00e9", null]}}]}) {commitTs}}`)
	post("/graphql", graphql, `{...f} fragment f on Query {a: namespaces ...g} fragment g on Query {__schema {types {name fields {name}}}}`)
	post("/admin", graphql, `{tasks {id kind status progress {fraction}} health {status}}`)
	post("/admin", jsonType, `{"query":"mutation {backup(input: {destination: \"relative\"}) {taskId}}","operationName":null}`, "X-Dgraph-AuthToken: x", "X-Dgraph-AccessToken: y")
	post("/admin", graphql, `mutation {login(userId: "a", password: "b") {response {accessJWT}}}`, "Origin: https://ops.example")
	post("/load?collection=c", "text/plain", "{\"value\":1}\n{\"key\":\"k\",\"value\":[true]}\n")
	post("/load?collection=c&namespace=n", "text/plain", "\x1f\x8b\x08\x00", "Content-Encoding: gzip")
	seeds = append(seeds,
		"GET /admin?query={tasks{id}} HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"GET /graphql?query=query($a:String!){collections(namespace:$a){name}}&variables={\"a\":\"b\"} HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
		"GET /dump?collection=c&prefix=k HTTP/1.1\r\nHost: alpha\r\nAccept-Encoding: gzip;q=0.5\r\n\r\n",
		"OPTIONS /graphql HTTP/1.1\r\nHost: x\r\nOrigin: https://ops.example\r\nAccess-Control-Request-Method: POST\r\n\r\n",
		"GET / HTTP/1.0\r\nAccept: text/html\r\n\r\n",
		"POST /graphql HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Type: application/graphql\r\n\r\n5\r\n{name\r\n6\r\nspaces\r\n1\r\n}\r\n0\r\n\r\n")
	return seeds
}

// TestCutRequests sends every beginning of every seed.
func TestCutRequests(t *testing.T) {
	a := startAlpha(t, t.TempDir(), worker.Options{}, Options{})
	for _, seed := range requestSeeds() {
		for n := range len(seed) {
			r, err := http.ReadRequest(bufio.NewReader(io.LimitReader(strings.NewReader(seed), int64(n))))
			if err != nil {
				continue
			}
			r.RemoteAddr = "127.0.0.1:1"
			w := httptest.NewRecorder()
			a.server.ServeHTTP(w, r)
			if w.Code >= 500 {
				t.Errorf("the first %d bytes of %q: %d %s", n, seed, w.Code, w.Body)
			}
		}
	}
}
