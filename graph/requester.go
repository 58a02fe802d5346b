package graph

import (
	"net"
	"net/http"

	"github.com/brockdb/brock/worker/task"
)

// byAddress has tasks that a request submits remember the address that it came
// from, until somebody knows more about who asks.
func byAddress(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := r.RemoteAddr
		if host, _, err := net.SplitHostPort(who); err == nil {
			who = host
		}
		next.ServeHTTP(w, r.WithContext(task.WithRequester(r.Context(), who)))
	})
}
