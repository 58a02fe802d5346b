package graph

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
	"time"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/graph/graphiql"
)

// brokenOff is the status that metrics show for answers that did not come to
// their end.
const brokenOff = 499

// measured counts every request, those that are refused too.
func (s *Server) measured(next http.Handler) http.Handler {
	if s.options.Metrics == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen, begun, ended := &statusWriter{ResponseWriter: w}, time.Now(), false
		defer func() {
			status := seen.status
			switch {
			case !ended:
				status = brokenOff
			case status == 0:
				status = http.StatusOK
			}
			s.options.Metrics.HTTP(knownPath(r.URL.Path), r.Method, status, time.Since(begun))
		}()
		next.ServeHTTP(seen, r)
		ended = true
	})
}

// knownPath is a path that the server has, or "other": a label must not be what
// a client chooses.
func knownPath(path string) string {
	switch path {
	case "/", "/admin", "/graphql", "/load", "/dump", "/health", "/state", "/probe/graphql", "/metrics":
		return path
	}
	if strings.HasPrefix(path, graphiql.AssetsPath) {
		return graphiql.AssetsPath
	}
	return "other"
}

// registerMetrics adds what only the server knows.
func (s *Server) registerMetrics() {
	m := s.options.Metrics
	m.Register("brock_http_connections", "Connections that are open.", func() float64 { return float64(s.conns.count()) })
	m.Register("brock_http_body_bytes", "Memory that the bodies of requests take.", func() float64 {
		return float64(s.options.Limits.RequestsBytes - s.memory.Free())
	})
	m.Register("brock_audit_lost", "Lines that could not be written to the audit log since the start.",
		func() float64 { return float64(s.options.Audit.Lost()) })
}

// scraped lets through what may collect metrics. Collectors cannot log in, and
// many can send no header but Authorization: where the alpha asks for a token or
// a login, either will do, and a bearer or a password (basic.go) may hold it.
func (s *Server) scraped(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.access.token == nil && s.options.Users == nil || s.mayScrape(r) {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="brock metrics", charset="UTF-8"`)
		s.deny(w, r, http.StatusUnauthorized, fault.New(fault.Denied, opUse(r), "neither a token nor a login was sent, or a wrong one").
			WithHint("send the --auth_token or an access token as Authorization: Bearer …, or a user and password as Basic"))
	})
}

func (s *Server) mayScrape(r *http.Request) bool {
	bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		bearer = ""
	}
	if s.access.token != nil {
		from := addressOf(r)
		if s.access.guesses.Wait(from) > 0 {
			return false
		}
		sent := sha256.Sum256([]byte(bearer))
		if s.basicAllowed(r) {
			return true
		}
		if s.access.rightToken(r) || subtle.ConstantTimeCompare(sent[:], s.access.token[:]) == 1 {
			return true
		}
		if r.Header.Get("Authorization") != "" || r.Header.Get(tokenHeader) != "" {
			s.access.guesses.Failed(from)
		}
	}
	if s.options.Users == nil {
		return false
	}
	for _, token := range []string{bearer, r.Header.Get(accessHeader)} {
		if mayRead(s.options.Users.Check(token)) {
			return true
		}
	}
	return s.access.token == nil && s.basicAllowed(r)
}
