// Package fault is the one error style of brock: every failure reads
// "cannot <verb> <object>: <cause>", has a kind where a caller decides on it,
// and carries a hint where an operator can do something about it.
//
// Secrets never go into an Error: neither into Op, nor into Err, nor into Hint.
package fault

import (
	"errors"
	"fmt"
)

// Kind tells a caller what to do about an error. The zero Kind is Other.
type Kind uint8

// The kinds a caller can tell apart.
const (
	Other      Kind = iota // anything else: I/O errors, bugs
	Usage                  // bad input: a flag, a field, a URI
	NotFound               // the object does not exist
	Exists                 // the object exists and must not
	Denied                 // credentials or permissions are not enough
	NoSpace                // the destination or the disk is full
	Corrupt                // stored bytes are not what was written
	WrongKey               // encrypted under another key than the one given
	KeyMissing             // encrypted, and no key was given
	Locked                 // somebody else holds the lease or the directory
	Mixed                  // does not fit the series: encryption, key or database differ
	Canceled               // stopped on request
	// Unavailable: the storage does not answer, or says that it is too busy.
	// The same again may succeed.
	Unavailable
)

var kindNames = [...]string{"other", "usage", "not found", "exists", "denied", "no space", "corrupt",
	"wrong key", "key missing", "locked", "mixed", "canceled", "unavailable"}

// String returns the kind's name in lower case.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Error is a failed operation.
type Error struct {
	Kind Kind
	Op   string // "read manifest brock.…/manifest.json": verb and object, without "cannot"
	Err  error  // the cause; may be nil
	Hint string // what the operator can do; may be empty
}

// Error returns "cannot <op>: <cause>". The hint is not part of it: callers
// that show errors to people append HintOf.
func (e *Error) Error() string {
	if e.Err == nil {
		return "cannot " + e.Op
	}
	return "cannot " + e.Op + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// New returns an Error of the given kind. op is "verb object" as it follows
// "cannot"; cause formats the reason.
func New(kind Kind, op string, cause string, args ...any) *Error {
	return &Error{Kind: kind, Op: op, Err: fmt.Errorf(cause, args...)}
}

// Wrap puts "cannot <op>" in front of err and keeps its kind and hint.
// It returns nil when err is nil.
func Wrap(err error, op string, args ...any) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: KindOf(err), Op: fmt.Sprintf(op, args...), Err: err}
}

// WithHint sets the hint and returns e.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// KindOf returns the kind of the outermost Error in err's chain that has one.
func KindOf(err error) Kind {
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			return Other
		}
		if e.Kind != Other {
			return e.Kind
		}
		err = e.Err
	}
	return Other
}

// Is reports whether err is of the given kind.
func Is(err error, kind Kind) bool { return err != nil && KindOf(err) == kind }

// HintOf returns the outermost hint in err's chain, or "".
func HintOf(err error) string {
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			return ""
		}
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Err
	}
	return ""
}
