package destination

import (
	"fmt"
	"io"
)

// Credentials are what an object store asks for; directories ignore them. They
// never stand in a URI. Printing them in any way, and marshaling them, shows
// none of the secrets; that holds for a struct with an exported field of this
// type too, but fmt cannot see the methods of an unexported field.
type Credentials struct {
	AccessKey    string `json:"-"`
	SecretKey    string `json:"-"`
	SessionToken string `json:"-"`
	Anonymous    bool   `json:"-"` // send no credentials at all
}

const redacted = "[redacted]"

// String returns "[redacted]".
func (Credentials) String() string { return redacted }

// GoString returns "[redacted]".
func (Credentials) GoString() string { return redacted }

// Format writes "[redacted]" whatever the verb.
func (Credentials) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, redacted) // a fmt.State keeps its own errors
}
