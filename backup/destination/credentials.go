package destination

import (
	"fmt"
	"io"

	"github.com/brockdb/brock/backup/fault"
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

// IsZero reports whether nothing is given, so that the environment decides.
func (c Credentials) IsZero() bool { return c == Credentials{} }

// check refuses credentials that are only half there.
func (c Credentials) check() error {
	refuse := func(cause string) error {
		return fault.New(fault.Usage, "use the given credentials", "%s", cause).
			WithHint("give accessKey and secretKey, with sessionToken when they are temporary, or none of them")
	}
	switch {
	case c.Anonymous: // it takes precedence, as in Dgraph
		return nil
	case c.AccessKey == "" && (c.SecretKey != "" || c.SessionToken != ""):
		return refuse("accessKey is missing")
	case c.SecretKey == "" && (c.AccessKey != "" || c.SessionToken != ""):
		return refuse("secretKey is missing")
	}
	return nil
}
