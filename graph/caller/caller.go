// Package caller tells who sent a request, to whatever answers it.
package caller

import "context"

// Role is what a caller may do.
type Role string

// The roles.
const (
	Guardian Role = "guardian" // everything
	Reader   Role = "reader"   // queries and dumps
)

// Caller is who sent a request.
type Caller struct {
	User    string // that logged in; "" when the alpha has no users
	Role    Role   // Guardian when the alpha has no users; "" of one who has not logged in
	Address string // of the connection, without the port
}

// String names the caller for tasks and logs: "alice", or the address.
func (c Caller) String() string {
	if c.User != "" {
		return c.User
	}
	return c.Address
}

type key struct{}

// With returns a context that knows the caller.
func With(ctx context.Context, c Caller) context.Context { return context.WithValue(ctx, key{}, c) }

// From returns the caller, or the zero Caller when nobody is known.
func From(ctx context.Context) Caller {
	c, _ := ctx.Value(key{}).(Caller)
	return c
}
