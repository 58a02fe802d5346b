// Package destination is where backups live: a small set of object operations
// behind one interface, and the backends that implement it.
//
// Everything that is the same for every backend (the lease, retries, limits,
// fault injection) is written once on top of the interface, not inside a
// backend. The conformance suite in destinationtest runs over every backend.
package destination

import (
	"context"
	"io"
	"time"
)

// Destination is a flat space of named objects. Names are relative, use "/" as
// separator and have passed CheckName; a backend refuses others.
//
// Errors are *fault.Error with the kinds NotFound, Exists, Denied and NoSpace
// where the backend can tell, and name the object by its full URI.
// All methods may be called from many goroutines.
type Destination interface {
	// Create starts an object. Nothing is visible under name until Commit
	// returned nil; then all of it is there and durable. A lease or a mark need
	// not outlive a power cut, see isPresence.
	Create(ctx context.Context, name string, mode Mode) (Writer, error)

	// Open reads length bytes from offset, or to the end when length is
	// negative. A reader that ends early returns an error, never a short EOF.
	Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error)

	// Stat returns name, size and modification time of one object.
	Stat(ctx context.Context, name string) (Info, error)

	// List calls visit for the objects and folders directly below dir ("" is
	// the root) in ascending order of name, and stops at the first error visit
	// returns. A missing dir is empty, not an error. Objects that were never
	// committed are not listed; a folder may be listed that holds none yet.
	List(ctx context.Context, dir string, visit func(Info) error) error

	// Remove deletes one object, durably when it returned nil: a caller may
	// rely on the order of its removals. (Again, leases and marks need not be
	// gone after a power cut.) Removing what does not exist is an error of kind
	// NotFound. A folder disappears with its last object.
	Remove(ctx context.Context, name string) error

	// String returns the URI, without secrets.
	String() string
}

// Mode says what Create does when the object exists.
type Mode uint8

const (
	// Exclusive fails with kind Exists (at Create or at Commit) when the object
	// exists. Of any number of concurrent writers exactly one Commit succeeds.
	Exclusive Mode = iota
	// Replace overwrites: readers see the old object or the new one, whole.
	Replace
)

// Writer receives one object. It must be ended by Commit or Abort; after a
// failed Commit, Abort must still be called, and Abort after a successful
// Commit does nothing. The context of Create governs Write. A Writer is for one
// goroutine at a time, and an error of Write is final: Commit returns it again.
type Writer interface {
	io.Writer
	// Commit makes the object visible and durable, or returns an error and
	// leaves nothing visible. Only a failed Commit in mode Replace may leave
	// either the old object or the new one, whole.
	Commit(ctx context.Context) error
	// Abort gives the object up and frees what it used.
	Abort() error
}

// Info describes an object, or a folder when Dir is true.
type Info struct {
	Name     string // the full name below the destination, no trailing slash
	Size     int64  // bytes; 0 for a folder
	Modified time.Time
	Dir      bool
}

// Debris is implemented by destinations where a writer that died leaves
// something behind that List does not show.
type Debris interface {
	// RemoveDebris deletes what dead writers left in dir and the folders below
	// it ("" is the root), and the folders that are empty then. It cannot tell a
	// dead writer from a live one: the caller holds the lease, or knows otherwise
	// that nobody writes there. A missing dir is not an error.
	RemoveDebris(ctx context.Context, dir string) error
}

// HasDebris reports whether dead writers leave something at d. Decorators have
// the method whether or not the backend inside does.
func HasDebris(d Destination) bool {
	_, ok := Unwrap(d).(Debris)
	return ok
}

// RemoveDebris calls d's RemoveDebris, and does nothing when d has none.
func RemoveDebris(ctx context.Context, d Destination, dir string) error {
	if debris, ok := d.(Debris); ok {
		return debris.RemoveDebris(ctx, dir)
	}
	return nil
}
