package client

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/brockdb/brock/backup/fault"
)

// TestRedirects has a server send the client to another one, which must not see
// a request, least of all tokens.
func TestRedirects(t *testing.T) {
	var seen atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { seen.Add(1) }))
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL+"/path?secret=geheim", status)
		}))
		c, err := New(server.URL, Options{AuthToken: "token", AccessToken: "access"})
		if err != nil {
			t.Fatal(err)
		}
		_, loadErr := c.Load(t.Context(), "", "c", strings.NewReader("{}"))
		_, dumpErr := c.Dump(t.Context(), "", "c", io.Discard)
		for what, err := range map[string]error{
			"admin": c.Admin(t.Context(), "{tasks {id}}", nil, nil), "data": c.Data(t.Context(), "{namespaces}", nil, nil), "load": loadErr, "dump": dumpErr,
		} {
			if err == nil || !strings.Contains(err.Error(), "sends to another place") || !strings.Contains(fault.HintOf(err), other.URL) ||
				strings.Contains(err.Error()+fault.HintOf(err), "geheim") {
				t.Errorf("%d, %s: %v, hint %q", status, what, err, fault.HintOf(err))
			}
		}
		c.Close()
		server.Close()
	}
	if n := seen.Load(); n > 0 {
		t.Errorf("the other server has seen %d requests", n)
	}
}
