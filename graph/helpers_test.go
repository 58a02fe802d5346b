package graph

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/brockdb/brock/worker"
)

// alpha is a running node with its server.
type alpha struct {
	*testing.T
	node   *worker.Node
	server *Server
	http   *httptest.Server
}

// startAlpha serves a node in dir over a real connection.
func startAlpha(t *testing.T, dir string, node worker.Options, options Options) *alpha {
	t.Helper()
	node.Dir = dir
	n, err := worker.Open(t.Context(), node)
	if err != nil {
		t.Fatal(err)
	}
	server, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	server.Ready(n)
	a := &alpha{T: t, node: n, server: server, http: httptest.NewServer(server)}
	t.Cleanup(a.stop)
	return a
}

func newAlpha(t *testing.T) *alpha {
	return startAlpha(t, t.TempDir(), worker.Options{}, Options{Version: "v1"})
}

// stop ends the server, then the node; a second time does nothing.
func (a *alpha) stop() {
	a.Helper()
	a.http.Close()
	if err := a.node.Close(); err != nil {
		a.Error(err)
	}
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request; header holds pairs of name and value.
func (a *alpha) do(method, path string, body io.Reader, header ...string) answer {
	a.Helper()
	req, err := http.NewRequestWithContext(a.Context(), method, a.http.URL+path, body)
	if err != nil {
		a.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		} else {
			req.Header.Add(header[i], header[i+1])
		}
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		a.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		a.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(text)}
}

func (a *alpha) get(path string, header ...string) answer {
	a.Helper()
	return a.do(http.MethodGet, path, nil, header...)
}

// query posts a bare query, as application/graphql.
func (a *alpha) query(path, query string) answer {
	a.Helper()
	return a.do(http.MethodPost, path, strings.NewReader(query), "Content-Type", "application/graphql")
}

// postJSON posts a query with variables, which are JSON text.
func (a *alpha) postJSON(path, query, variables string) answer {
	a.Helper()
	if variables == "" {
		variables = "null"
	}
	text, err := json.Marshal(query)
	if err != nil {
		a.Fatal(err)
	}
	return a.do(http.MethodPost, path, strings.NewReader(`{"query":`+string(text)+`,"variables":`+variables+`}`),
		"Content-Type", "application/json")
}

// want fails the test unless a query is answered with exactly this data.
func (a *alpha) want(path, query, variables, data string) {
	a.Helper()
	got := a.postJSON(path, query, variables)
	if want := `{"data":` + data + `}`; got.status != http.StatusOK || got.body != want {
		a.Errorf("%s %s\n got %d %s\nwant 200 %s", query, variables, got.status, clip(got.body), clip(want))
	}
}

// wantError fails the test unless a query is answered with 200 and one error
// whose message holds all of the texts.
func (a *alpha) wantError(path, query, variables, code string, texts ...string) {
	a.Helper()
	got := a.postJSON(path, query, variables)
	a.checkError(got, http.StatusOK, code, texts...)
}

func (a *alpha) checkError(got answer, status int, code string, texts ...string) {
	a.Helper()
	var decoded struct {
		Errors []struct {
			Message    string
			Extensions struct{ Code string }
		}
	}
	if err := json.Unmarshal([]byte(got.body), &decoded); err != nil {
		a.Fatalf("%v: %s", err, clip(got.body))
	}
	if got.status != status || len(decoded.Errors) != 1 || decoded.Errors[0].Extensions.Code != code {
		a.Errorf("got %d %s, want %d and one error %s", got.status, clip(got.body), status, code)
		return
	}
	for _, text := range texts {
		if !strings.Contains(decoded.Errors[0].Message, text) {
			a.Errorf("message %q does not hold %q", clip(decoded.Errors[0].Message), text)
		}
	}
}

// data decodes the data of a query's answer.
func (a *alpha) data(path, query string, into any) {
	a.Helper()
	got := a.query(path, query)
	var decoded struct {
		Data   json.RawMessage
		Errors json.RawMessage
	}
	if err := json.Unmarshal([]byte(got.body), &decoded); err != nil || decoded.Errors != nil {
		a.Fatalf("%v: %s", err, clip(got.body))
	}
	decoder := json.NewDecoder(bytes.NewReader(decoded.Data))
	decoder.UseNumber()
	if err := decoder.Decode(into); err != nil {
		a.Fatal(err)
	}
}

func clip(s string) string {
	const most = 2000
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// taskView is what tests look at of a task.
type taskView struct {
	ID, Kind, Status, Phase, Message, Hint, Path, BackupID string
	BackupNum                                              json.Number
	Progress                                               struct{ Fraction json.Number }
}

// backup posts the mutation, which must be accepted, and waits for the end of
// the task.
func (a *alpha) backup(mutation string) taskView {
	a.Helper()
	var queued struct{ Backup struct{ TaskID string } }
	a.data("/admin", mutation, &queued)
	return a.wait(queued.Backup.TaskID)
}

func (a *alpha) wait(id string) taskView {
	a.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if task := a.task(id); task.Status != "Queued" && task.Status != "Running" {
			return task
		}
	}
	a.Fatalf("task %s does not end: %+v", id, a.task(id))
	return taskView{}
}

func (a *alpha) task(id string) taskView {
	a.Helper()
	var found struct{ Task taskView }
	a.data("/admin", `{task(input: {id: "`+id+`"}) {id kind status phase message hint path backupId backupNum progress {fraction}}}`, &found)
	return found.Task
}
