package graph

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"sync"

	"github.com/brockdb/brock/graph/caller"
)

// basicLogins remembers the tokens of those who send user and password with each
// request, as Prometheus does: checking a password takes a core for a quarter of
// a second. A token ends by itself, and with the user's line.
type basicLogins struct {
	mu     sync.Mutex
	tokens map[[sha256.Size]byte]string // by the header's hash
}

// mostBasicLogins bounds how many are remembered.
const mostBasicLogins = 64

// basicAllowed reports whether user and password of the request may read metrics.
// The password may be the alpha's token, with any user.
func (s *Server) basicAllowed(r *http.Request) bool {
	user, password, ok := r.BasicAuth()
	if !ok {
		return false
	}
	if s.access.token != nil {
		sent := sha256.Sum256([]byte(password))
		if subtle.ConstantTimeCompare(sent[:], s.access.token[:]) == 1 {
			return true
		}
	}
	if s.options.Users == nil {
		return false
	}
	header := sha256.Sum256([]byte(r.Header.Get("Authorization")))
	if mayRead(s.options.Users.Check(s.basic.token(header))) {
		return true
	}
	ctx := caller.With(r.Context(), caller.Caller{Address: addressOf(r)}) // who fails has to wait
	tokens, err := s.options.Users.Login(ctx, user, password)
	if err != nil || !mayRead(s.options.Users.Check(tokens.Access)) {
		return false
	}
	s.basic.remember(header, tokens.Access)
	return true
}

func mayRead(who caller.Caller, err error) bool {
	return err == nil && (who.Role == caller.Reader || who.Role == caller.Guardian)
}

func (b *basicLogins) token(header [sha256.Size]byte) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tokens[header]
}

func (b *basicLogins) remember(header [sha256.Size]byte, token string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.tokens == nil || len(b.tokens) >= mostBasicLogins {
		b.tokens = make(map[[sha256.Size]byte]string)
	}
	b.tokens[header] = token
}
