package destination_test

import (
	"context"
	"testing"

	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/destination/destinationtest"
	"github.com/brockdb/brock/backup/fault"
)

// roomy has room for new objects while *room is true.
type roomy struct {
	destination.Destination
	room *bool
}

func (r roomy) Create(ctx context.Context, name string, mode destination.Mode) (destination.Writer, error) {
	if !*r.room {
		return nil, fault.New(fault.NoSpace, "create "+name, "no space left on device")
	}
	return r.Destination.Create(ctx, name, mode)
}

// TestLeaseReleasedWithoutRoom gives a lease back at a destination that is
// full: the next holder need not wait.
func TestLeaseReleasedWithoutRoom(t *testing.T) {
	room := true
	d := newDir(t)
	l := acquire(t, roomy{d, &room}, "alpha-1")
	room = false
	release(t, l)
	release(t, l) // does nothing
	if err := l.Check(t.Context()); !fault.Is(err, fault.Locked) {
		t.Errorf("the released lease checks as %v", err)
	}
	if names := destinationtest.Names(t, d, ""); len(names) != 0 {
		t.Errorf("%q are left", names)
	}
	acquire(t, d, "alpha-2")
}
