package store

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/destination/destinationtest"
	"github.com/brockdb/brock/backup/fault"
)

// TestResumeWherePinsNeverGrowOld: a negative PinMaxAge keeps delete pins for
// ever, and the snapshot of a backup that was cut off as well.
func TestResumeWherePinsNeverGrowOld(t *testing.T) {
	t.Parallel()
	c := newCutOff(t)
	c.o.PinMaxAge = -1
	c.reopen()
	begun := maps.Clone(c.model)
	c.cutOffMidway(4)
	c.change()
	c.reopen()
	m, resumed := c.run(true)
	if resumed.Parts == 0 {
		t.Fatalf("it did not go on: %+v", resumed)
	}
	c.check("gone on", m, begun)
}

// TestResumeWhereNothingMayBeRemoved: where objects cannot be removed (retained,
// or no permission), a part that was stored and not noted stays in the folder.
// The backup begins afresh in another then; whoever counts the objects of one
// takes it for what it is.
func TestResumeWhereNothingMayBeRemoved(t *testing.T) {
	t.Parallel()
	c := newCutOff(t)
	folder := c.cutOffMidway(4)
	notes, err := filepath.Glob(filepath.Join(c.dir, folder, "resume.*"))
	if err != nil || len(notes) < 2 {
		t.Fatal(notes, err)
	}
	c.harmed(os.Remove(notes[len(notes)-1])) // as if it had died before it
	c.change()
	c.faulty.Add(destinationtest.Rule{Op: destinationtest.OpRemove, Name: folder, Nth: 1, Forever: true,
		Err: fault.New(fault.Denied, "remove it", "it is retained")})
	m, resumed := c.run(true)
	if resumed.Parts != 0 || resumed.Afresh == "" || m.Path == folder {
		t.Errorf("it went on in %s, after %s: %+v", m.Path, folder, resumed)
	}
	c.check("afresh", m, c.model)
	if err := backup.Present(context.Background(), c.faulty, m); err != nil {
		t.Error(err)
	}
	if _, held := c.store.Source().(backup.Resumer).Held(c.faulty.String()); held {
		t.Error("a snapshot is still held")
	}
}
