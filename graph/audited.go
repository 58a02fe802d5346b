package graph

import (
	"context"
	"net/http"

	"github.com/brockdb/brock/graph/audit"
	"github.com/brockdb/brock/graph/caller"
	"github.com/brockdb/brock/graph/gql"
)

// deny refuses a request that access does not let through, and writes that
// down.
func (s *Server) deny(w http.ResponseWriter, r *http.Request, status int, err error) {
	who := caller.From(r.Context())
	if who.Address == "" {
		who.Address = addressOf(r)
	}
	s.options.Audit.Write(audit.Event{
		User: who.User, Role: who.Role, Address: who.Address, Path: r.URL.Path, Action: r.Method,
		Outcome: audit.Refused, Codes: []string{gql.Code(err)}, Status: status,
	})
	refuse(w, status, err)
}

// watch writes down the mutations of an endpoint, and what it refuses.
func (s *Server) watch(path string, allow func(context.Context, *gql.Operation) error) gql.Watch {
	return gql.Watch{Allow: allow, Ended: func(ctx context.Context, op *gql.Operation, refused bool, codes []string) {
		if s.options.Audit == nil || !op.Mutation && !refused {
			return
		}
		who := caller.From(ctx)
		e := audit.Event{User: who.User, Role: who.Role, Address: who.Address, Path: path, Codes: codes}
		switch {
		case refused:
			e.Outcome = audit.Refused
		case len(codes) > 0:
			e.Outcome = audit.Failed
		default:
			e.Outcome = audit.Done
		}
		for _, field := range op.Fields { // each has arguments of its own
			e.Action, e.Args = field.Name, argumentsOf(field)
			s.options.Audit.Write(e)
		}
	}}
}

func argumentsOf(field gql.Field) map[string]any {
	args := make(map[string]any)
	for _, name := range audit.Arguments {
		value, ok := field.Argument(name)
		if text, isText := value.(string); isText {
			value = audit.Harmless(text)
		}
		if ok {
			args[name] = value
		}
	}
	return args
}

// audited writes down what a transfer came to.
func (s *Server) audited(next http.Handler) http.Handler {
	if s.options.Audit == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, query := caller.From(r.Context()), r.URL.Query()
		e := audit.Event{User: who.User, Role: who.Role, Address: who.Address, Path: r.URL.Path, Action: r.Method,
			Args: make(map[string]any), Outcome: audit.Failed}
		for _, name := range []string{"namespace", "collection"} {
			if query.Has(name) {
				e.Args[name] = audit.Harmless(query.Get(name))
			}
		}
		seen := &statusWriter{ResponseWriter: w}
		defer func() { s.options.Audit.Write(e) }() // also of a dump that breaks off
		next.ServeHTTP(seen, r)
		if seen.status < 300 {
			e.Outcome = audit.Done
		} else {
			e.Status = seen.status
		}
	})
}

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int // 0 until it is known: then it is 200
}

// WriteHeader takes the status.
func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController find the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
