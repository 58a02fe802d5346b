package graph

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/graph/caller"
	"github.com/brockdb/brock/graph/gql"
	"github.com/brockdb/brock/worker/task"
)

// anonymousBytes is what somebody who has not logged in may send: a login.
const anonymousBytes = 16 << 10

// addressOf is where the connection comes from, without the port.
func addressOf(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return host
	}
	return r.RemoteAddr
}

// identified finds out who asks, by the header X-Dgraph-AccessToken, and tells
// what follows. Without users everybody may do everything. One who has not
// logged in goes on only where a login is possible.
func (s *Server) identified(anonymous bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := caller.Caller{Role: caller.Guardian}
		if s.options.Users != nil {
			var err error
			if who, err = s.userOf(r, anonymous); err != nil {
				s.deny(w, r, http.StatusUnauthorized, err)
				return
			}
		}
		who.Address = addressOf(r)
		ctx := task.WithRequester(caller.With(r.Context(), who), who.String())
		r = r.WithContext(ctx)
		if who.Role == "" {
			r.Body = http.MaxBytesReader(w, r.Body, anonymousBytes)
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) userOf(r *http.Request, anonymous bool) (caller.Caller, error) {
	token := r.Header.Get(accessHeader)
	switch {
	case token != "":
		return s.options.Users.Check(token)
	case anonymous:
		return caller.Caller{}, nil
	}
	return caller.Caller{}, notLoggedIn(opUse(r))
}

func notLoggedIn(op string) error {
	return fault.New(fault.Denied, op, "the header %s is missing", accessHeader).
		WithHint("log in: mutation { login(userId: \"…\", password: \"…\") { response { accessJWT } } } at /admin")
}

// guardians lets only those through that may change something.
func (s *Server) guardians(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if who := caller.From(r.Context()); who.Role != caller.Guardian {
			s.deny(w, r, http.StatusForbidden, notGuardian(opUse(r), who))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func notGuardian(op string, who caller.Caller) error {
	return fault.New(fault.Denied, op, "user %s has the role %s, which may only read", who.User, who.Role).
		WithHint("log in as a user of the role %s", caller.Guardian)
}

// allow decides about an operation that is understood.
func (s *Server) allow(ctx context.Context, op *gql.Operation) error {
	logins := 0
	for _, field := range op.Fields {
		if op.Mutation && field.Name == "login" {
			logins++
		}
	}
	who := caller.From(ctx)
	switch {
	case logins > 1: // each would be a guess
		return &gql.Refused{Status: http.StatusBadRequest,
			Err: fault.New(fault.Usage, "log in", "a request may hold one login, not %d", logins)}
	case logins == len(op.Fields) && logins == 1:
		return nil
	case who.Role == "":
		return &gql.Refused{Status: http.StatusUnauthorized, Err: notLoggedIn("run request")}
	case op.Mutation && who.Role != caller.Guardian:
		return &gql.Refused{Status: http.StatusForbidden, Err: notGuardian("run mutation", who)}
	}
	return nil
}

// tokenRequired asks for the token where one is configured. Whoever guesses has
// to wait.
func (s *Server) tokenRequired(next http.Handler) http.Handler {
	if s.access.token == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from := addressOf(r)
		if wait := s.access.guesses.Wait(from); wait > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)+1))
			s.deny(w, r, http.StatusTooManyRequests, fault.New(fault.Denied, opUse(r), "too many tokens from here were wrong").
				WithHint("try again in %v", wait.Round(time.Second)+time.Second))
			return
		}
		if s.access.rightToken(r) {
			s.access.guesses.Succeeded(from)
			next.ServeHTTP(w, r)
			return
		}
		if r.Header.Get(tokenHeader) != "" {
			s.access.guesses.Failed(from)
		}
		s.deny(w, r, http.StatusUnauthorized, fault.New(fault.Denied, opUse(r), "the header %s is missing or wrong", tokenHeader).
			WithHint("send the token that the alpha was started with (--auth_token)"))
	})
}
