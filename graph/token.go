package graph

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
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
