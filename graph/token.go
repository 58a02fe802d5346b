package graph

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"

	"github.com/brockdb/brock/backup/fault"
)

// The headers that Dgraph's clients send.
const (
	tokenHeader  = "X-Dgraph-AuthToken"
	accessHeader = "X-Dgraph-AccessToken"
)

// rightToken compares in constant time. Hashing both makes them of one length:
// the comparison takes the same time whatever was sent.
func (a *access) rightToken(r *http.Request) bool {
	sent := sha256.Sum256([]byte(r.Header.Get(tokenHeader)))
	return subtle.ConstantTimeCompare(sent[:], a.token[:]) == 1
}

// tokenRequired asks for the token where one is configured.
func (a *access) tokenRequired(next http.Handler) http.Handler {
	if a.token == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !a.rightToken(r) {
			refuse(w, http.StatusUnauthorized, fault.New(fault.Denied, opUse(r), "the header %s is missing or wrong", tokenHeader).
				WithHint("send the token that the alpha was started with (--auth_token)"))
			return
		}
		next.ServeHTTP(w, r)
	})
}
