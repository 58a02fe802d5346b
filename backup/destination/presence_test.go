package destination

import (
	"os"
	"testing"
	"time"
)

// syncs counts what a Dir makes durable.
type syncs struct{ files, folders int }

func counted(t *testing.T) (*Dir, *syncs) {
	t.Helper()
	d, n := testDir(t), new(syncs)
	d.ops.syncFile = func(f *os.File) error { n.files++; return f.Sync() }
	d.ops.syncFolder = func(f *os.File) error { n.folders++; return f.Sync() }
	return d, n
}

// TestDirSyncsNoPresence holds that leases and marks cost no fsync, and do their
// work without.
func TestDirSyncsNoPresence(t *testing.T) {
	d, n := counted(t)
	take := func() *Lease {
		l, err := AcquireLease(t.Context(), d, LeaseOptions{Owner: "test"})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	first := take()
	if err := first.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := take() // which removes the first
	if err := second.renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := second.Check(t.Context()); err != nil {
		t.Error(err)
	}
	mark, err := MarkReading(t.Context(), d, MarkOptions{Purpose: "restore", Series: []string{"x"}})
	if err != nil {
		t.Fatal(err)
	}
	if held, err := ReadMarks(t.Context(), d, time.Now()); err != nil || len(held) != 1 {
		t.Errorf("marks: %+v, %v", held, err)
	}
	if err := mark.Release(t.Context()); err != nil {
		t.Error(err)
	}
	if err := second.Release(t.Context()); err != nil {
		t.Error(err)
	}
	if *n != (syncs{}) {
		t.Errorf("leases and a mark cost %+v", *n)
	}
}

// TestDirSyncsTheRest holds that everything else is synced, whatever its name
// looks like: the file, its folder and the root; and for a removal, what is left.
func TestDirSyncsTheRest(t *testing.T) {
	for _, name := range []string{"brock.20260101.000000.000/manifest.json", "brock.leases/1", "brock.marks2/1", "a/brock.lease/1"} {
		d, n := counted(t)
		if err := putObject(t.Context(), d, name, Exclusive, "content"); err != nil {
			t.Fatal(err)
		}
		if n.files != 1 || n.folders < 2 {
			t.Errorf("%s: a creation cost %+v", name, *n)
		}
		*n = syncs{}
		if err := d.Remove(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		if n.folders != 1 {
			t.Errorf("%s: a removal cost %+v", name, *n)
		}
	}
}
