package systest

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

// answer is an HTTP response that was read to its end.
type answer struct {
	status int
	header http.Header
	body   string
}

// request sends what any HTTP client can send; header is "Name: value".
func (a *alpha) request(t *testing.T, method, path, body string, header ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, a.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() // only read
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(text)}
}

// get decodes what a GET answers with status 200.
func (a *alpha) get(t *testing.T, path string, into any) {
	t.Helper()
	res := a.request(t, http.MethodGet, path, "")
	if res.status != http.StatusOK {
		t.Fatalf("GET %s answers %d: %s", path, res.status, res.body)
	}
	if err := json.Unmarshal([]byte(res.body), into); err != nil {
		t.Fatalf("GET %s: %v", path, err)
	}
}
