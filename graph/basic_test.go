package graph

import (
	"net/http"
	"testing"

	"github.com/brockdb/brock/worker"
	"github.com/brockdb/brock/worker/metrics"
)

// TestMetricsBasic asks for metrics as Prometheus does that has a user and a
// password. They open nothing else, and guessing is slowed.
func TestMetricsBasic(t *testing.T) {
	basic := func(user, password string) string {
		r := &http.Request{Header: http.Header{}}
		r.SetBasicAuth(user, password)
		return r.Header.Get("Authorization")
	}
	a := startAlpha(t, t.TempDir(), worker.Options{}, Options{Metrics: metrics.New("v1"), Users: newUsers(t)})
	if got := a.get("/metrics"); got.status != http.StatusUnauthorized || got.header.Get("WWW-Authenticate") == "" {
		t.Errorf("without: %d, WWW-Authenticate %q", got.status, got.header.Get("WWW-Authenticate"))
	}
	for range 3 { // the first is remembered
		if got := a.get("/metrics", "Authorization", basic("ro", readerPassword)); got.status != http.StatusOK {
			t.Errorf("a reader: %d", got.status)
		}
	}
	for _, path := range []string{"/state", "/dump?collection=c"} {
		if got := a.get(path, "Authorization", basic("groot", grootPassword)); got.status != http.StatusUnauthorized {
			t.Errorf("%s: %d", path, got.status)
		}
	}
	for _, path := range []string{"/debug/pprof/", "/debug/vars", "/debug/requests"} {
		if got := a.get(path); got.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, got.status)
		}
	}
	for _, wrong := range []string{basic("ro", "wrong"), basic("nobody", readerPassword), basic("", ""), "Basic !!!", basic("ro", readerPassword) + "x"} {
		if got := a.get("/metrics", "Authorization", wrong); got.status != http.StatusUnauthorized {
			t.Errorf("%s: %d", wrong, got.status)
		}
	}
	for range 10 {
		a.get("/metrics", "Authorization", basic("groot", "guess"))
	}
	if got := a.get("/metrics", "Authorization", basic("groot", grootPassword)); got.status != http.StatusUnauthorized {
		t.Errorf("after ten guesses: %d", got.status)
	}
	if got := a.get("/metrics", "Authorization", basic("ro", readerPassword)); got.status != http.StatusOK {
		t.Errorf("one who is in, after the guesses of others: %d", got.status)
	}
	b := startAlpha(t, t.TempDir(), worker.Options{}, Options{Metrics: metrics.New("v1"), AuthToken: "right"})
	for password, want := range map[string]int{"right": http.StatusOK, "wrong": http.StatusUnauthorized} {
		if got := b.get("/metrics", "Authorization", basic("any", password)); got.status != want {
			t.Errorf("the token as %s password: %d", password, got.status)
		}
	}
}
