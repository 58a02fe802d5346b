package graph

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/brockdb/brock/graph/graphiql"
	"github.com/brockdb/brock/worker"
)

// TestLife takes a server from its start over a node's life to its end, on a
// listener of its own.
func TestLife(t *testing.T) {
	server, err := New(Options{Version: "v1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	url := "http://" + listener.Addr().String()
	get := func(path string) (status int, body string) {
		t.Helper()
		res, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(text)
	}

	for path, want := range map[string]int{
		"/health": 503, "/health?live=1": 200, "/probe/graphql": 503, "/state": 503, "/": 200,
		"/graphql?query={namespaces}": 503, "/admin?query={tasks{id}}": 503, "/dump?collection=c": 503,
	} {
		if status, body := get(path); status != want {
			t.Errorf("starting: %s is %d %s", path, status, body)
		}
	}
	if _, body := get("/health?live=1"); !strings.Contains(body, `"status":"starting"`) {
		t.Error(body)
	}

	node, err := worker.Open(t.Context(), worker.Options{Dir: t.TempDir(), Group: 3})
	if err != nil {
		t.Fatal(err)
	}
	server.Ready(node)
	want := regexp.MustCompile(`^\[\{"instance":"alpha","address":"` + listener.Addr().String() +
		`","status":"healthy","group":"3","version":"v1\.2\.3","uptime":\d+,"lastEcho":\d{10,}\}\]$`)
	if status, body := get("/health"); status != 200 || !want.MatchString(body) {
		t.Errorf("ready: %d %s", status, body)
	}
	if status, body := get("/probe/graphql"); status != 200 || body != `{"schemaUpdateCounter":1,"status":"up"}` {
		t.Errorf("ready: %d %s", status, body)
	}
	if status, body := get("/admin?query={health{instance,group,version,status,address,ongoing}}"); status != 200 ||
		body != `{"data":{"health":[{"instance":"alpha","group":"3","version":"v1.2.3","status":"healthy","address":"`+listener.Addr().String()+`","ongoing":[]}]}}` {
		t.Errorf("ready: %d %s", status, body)
	}
	var state clusterState
	if _, body := get("/state"); json.Unmarshal([]byte(body), &state) != nil || state.Groups["3"].Members["1"].Addr != listener.Addr().String() ||
		state.ClusterID != node.Status().DBID || state.Groups["3"].Collections != 0 {
		t.Errorf("state: %s", body)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve after Shutdown: %v", err)
	}
	if err := node.Close(); err != nil {
		t.Error(err)
	}
}

// TestShutdown waits for a request under way as long as it is told, then cuts
// it off.
func TestShutdown(t *testing.T) {
	node, err := worker.Open(t.Context(), worker.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	server, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	server.Ready(node)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const head = "POST /load?collection=c HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n"
	if _, err := io.WriteString(conn, head); err != nil {
		t.Fatal(err)
	}
	reply := make([]byte, len("HTTP/1.1 100"))
	if _, err := io.ReadFull(conn, reply); err != nil { // the body is being read
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	if err := node.Close(); err != nil {
		t.Error(err)
	}
}

func TestPagesForPeople(t *testing.T) {
	a := newAlpha(t)
	for _, path := range []string{"/", "/nothing", "/admin/", "/graphql/x", "/favicon.ico"} {
		status := http.StatusNotFound
		if path == "/" {
			status = http.StatusOK
		}
		for accept, contentType := range map[string]string{"text/html,*/*": "text/html; charset=utf-8", "*/*": "text/plain; charset=utf-8"} {
			got := a.get(path, "Accept", accept)
			if got.status != status || got.header.Get("Content-Type") != contentType {
				t.Errorf("%s as %s: %d %v", path, accept, got.status, got.header)
			}
			for _, e := range endpoints {
				if !strings.Contains(strings.ReplaceAll(got.body, "&amp;", "&"), e.Path) {
					t.Errorf("%s as %s does not name %s", path, accept, e.Path)
				}
			}
		}
	}
	asset := regexp.MustCompile(`(?:src|href)="(` + graphiql.AssetsPath + `[^"]+)"`)
	for _, path := range []string{"/admin", "/graphql"} {
		got := a.get(path, "Accept", "text/html")
		if got.status != http.StatusOK || !strings.Contains(got.body, "mutation ") || got.header.Get("Content-Security-Policy") == "" {
			t.Errorf("%s: %d %v", path, got.status, got.header)
		}
		found := asset.FindAllStringSubmatch(got.body, -1)
		if len(found) < 3 {
			t.Errorf("%s loads %v", path, found)
		}
		for _, match := range found {
			if got := a.get(match[1]); got.status != http.StatusOK || len(got.body) == 0 {
				t.Errorf("%s: %d", match[1], got.status)
			}
		}
	}
}

// TestExamplesRun runs what GraphiQL opens with.
func TestExamplesRun(t *testing.T) {
	a := newAlpha(t)
	a.query("/graphql", `mutation {put(input: {collection: "cities", records: [{key: "Lima", value: 1}]}) {commitTs}}`)
	backups := t.TempDir()
	for path, examples := range map[string][]graphiql.Example{"/admin": adminExamples, "/graphql": dataExamples} {
		for _, example := range examples {
			a.example(path, strings.ReplaceAll(example.Query, "/tmp/brock-backups", backups))
		}
	}
}

var taskID = regexp.MustCompile(`"taskId":"(0x[0-9a-f]+)"`)

// example runs an operation, and the task that it may have queued.
func (a *alpha) example(path, query string) {
	a.Helper()
	got := a.query(path, query)
	if got.status != http.StatusOK || strings.Contains(got.body, `"errors"`) {
		a.Errorf("%s: %s", query, got.body)
	}
	if queued := taskID.FindStringSubmatch(got.body); queued != nil {
		if task := a.wait(queued[1]); task.Status != "Success" {
			a.Errorf("%s: %+v", query, task)
		}
	}
}

// TestDocumentedExamples runs the GraphQL of docs/api.md, in its order.
func TestDocumentedExamples(t *testing.T) {
	a := newAlpha(t)
	text, err := os.ReadFile("../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?s)```graphql\n# POST (/[a-z]+)\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(found) < 7 || len(found) != strings.Count(string(text), "```graphql") {
		t.Fatalf("%d examples name their path", len(found))
	}
	backups := t.TempDir()
	for _, example := range found {
		a.example(example[1], strings.ReplaceAll(example[2], "/tmp/brock-backups", backups))
	}
}
