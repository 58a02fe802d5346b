package restore_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/backuptest"
	"github.com/brockdb/brock/backup/destination/destinationtest"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
	"github.com/brockdb/brock/ee"
	"github.com/brockdb/brock/restore"
)

var errInjected = errors.New("injected: the storage says no")

// TestEveryStorageCallFails makes the Nth storage call of a backup fail, for
// every N until a backup succeeds: before it took effect, after it (the answer
// is lost), and with all that follow (the process died).
func TestEveryStorageCallFails(t *testing.T) {
	for _, c := range []struct {
		mode          string
		full, managed bool
		keySize       int
	}{
		{"early", true, false, 0}, {"early", false, true, 32},
		{"late", true, true, 32}, {"late", false, false, 0},
		{"crash", true, false, 0}, {"crash", false, true, 32},
	} {
		t.Run(fmt.Sprintf("%s,full=%v,managed=%v,key=%d", c.mode, c.full, c.managed, c.keySize), func(t *testing.T) {
			t.Parallel()
			f := &failing{T: t, mode: c.mode, full: c.full, key: backuptest.Key(t, c.keySize),
				db: backuptest.New(t, c.managed, nil), dir: t.TempDir()}
			f.run()
		})
	}
}

type failing struct {
	*testing.T
	mode   string
	full   bool
	key    ee.Key
	db     *backuptest.DB
	dir    string
	states map[string]backuptest.State // by folder
}

func (f *failing) run() {
	f.states = make(map[string]backuptest.State)
	for i := range 20 {
		f.db.Set(fmt.Sprintf("k%02d", i), backuptest.Entry{Value: "first"})
	}
	f.healthy(true)
	for n := 1; ; n++ {
		f.db.Set(fmt.Sprintf("k%02d", n%20), backuptest.Entry{Value: fmt.Sprint("after ", n)})
		f.db.Delete(fmt.Sprintf("k%02d", (n+7)%20))
		if f.failsAt(n) {
			f.Logf("a backup makes %d calls", n-1)
			return
		}
		f.healthy(f.fullNext(n))
		if f.fullNext(n) {
			f.forgetOld() // or the calls of a backup grow faster than n
		}
	}
}

// fullNext reports whether a full follows the nth failure.
func (f *failing) fullNext(n int) bool { return n%4 == 0 }

// forgetOld removes all backups but the newest.
func (f *failing) forgetOld() {
	f.Helper()
	all := paths(list(f, backuptest.OpenDir(f, f.dir)))
	for _, path := range all[:len(all)-1] {
		if err := os.RemoveAll(filepath.Join(f.dir, path)); err != nil {
			f.Fatal(err)
		}
	}
}

// failsAt takes a backup whose nth call fails, and reports whether it made fewer
// calls.
func (f *failing) failsAt(n int) (done bool) {
	inner := backuptest.OpenDir(f, f.dir)
	before := list(f, inner)
	faulty := destinationtest.NewFaulty(inner)
	faulty.Add(destinationtest.Rule{Nth: n, Late: f.mode == "late", Crash: f.mode == "crash", Err: errInjected})
	m, err := f.job(faulty, f.full).Run(f.Context())
	if err == nil && faulty.Count(destinationtest.AnyOp) < n {
		f.states[m.Path] = f.db.Model.Clone()
		return true
	}
	what := fmt.Sprintf("call %d fails", n)
	if err == nil {
		// Only what may fail: looking for what is not needed any more.
		f.Fatalf("%s: the backup succeeded; calls: %v", what, faulty.Trace())
	}
	f.cleanLease()
	after := list(f, inner)
	switch added := len(paths(after)) - len(paths(before)); {
	case m == nil && f.mode != "crash" && added != 0:
		f.Fatalf("%s: %v, but a backup is listed; calls: %v", what, err, faulty.Trace())
	case added == 1:
		// It is stored: the call that failed came after that.
		for _, path := range paths(after) {
			if f.states[path] == nil {
				f.states[path] = f.db.Model.Clone()
			}
		}
	case added != 0 || m != nil:
		f.Fatalf("%s: listed before: %v, after: %v", what, paths(before), paths(after))
	}
	// The incremental that follows shows whether the chain before is whole; a full
	// would not.
	if added := len(paths(after)) - len(paths(before)); added > 0 || f.fullNext(n) {
		f.wantExact(what, after, 1+added)
	}
	return false
}

func (f *failing) job(d *destinationtest.Faulty, full bool) *backup.Backup {
	return f.db.Job(d, func(b *backup.Backup) { b.ForceFull, b.Key, b.ChunkBytes = full, f.key, 4<<10 })
}

// healthy takes a backup without faults and checks that it removed what the one
// before it left.
func (f *failing) healthy(full bool) {
	f.Helper()
	if f.mode == "crash" {
		f.db.Source = f.db.NewSource()
	}
	inner := backuptest.OpenDir(f, f.dir)
	m, err := f.job(destinationtest.NewFaulty(inner), full).Run(f.Context())
	if err != nil {
		f.Fatalf("the backup after a failed one: %v", err)
	}
	if f.db.Managed {
		f.db.Model[backuptest.MarkerKey] = backuptest.Entry{}
	}
	if m.Type == manifest.Full && m.Reason == "" || f.mode == "early" && m.Type == manifest.Full != full {
		f.Fatalf("the backup after a failed one is %s: %q", m.Type, m.Reason)
	}
	f.states[m.Path] = f.db.Model.Clone()
	l := list(f, inner)
	f.wantExact("then", l, 1)
	if got, want := filesIn(f, f.dir), objectsOf(f, inner, l, f.key); !slices.Equal(got, want) {
		f.Fatalf("debris is left:\n%v\n%v", got, want)
	}
}

// wantExact restores the newest backup of the last few series.
func (f *failing) wantExact(what string, l *backup.Listing, last int) {
	f.Helper()
	if len(l.Damaged) != 0 {
		f.Fatalf("%s: damaged: %v", what, l.Damaged)
	}
	inner := backuptest.OpenDir(f, f.dir)
	for _, s := range l.Series[max(0, len(l.Series)-last):] {
		m := s.Newest()
		backuptest.Equal(f, what+": "+m.Path, contentOf(f, inner, m.Manifest, f.key), f.states[m.Path])
	}
	if f.Failed() {
		f.FailNow()
	}
}

// cleanLease does what time does: the lease of a holder that died ends.
func (f *failing) cleanLease() {
	f.Helper()
	if err := os.RemoveAll(filepath.Join(f.dir, "brock.lease")); err != nil {
		f.Fatal(err)
	}
}

// TestEveryReadFails makes the Nth storage call of a restore and of a
// verification fail, for every N until it succeeds.
func TestEveryReadFails(t *testing.T) {
	t.Parallel()
	d := backuptest.New(t, false, nil)
	for i := range 200 {
		d.Set(fmt.Sprintf("k%03d", i), backuptest.Entry{Value: fmt.Sprint(i)})
	}
	at := t.TempDir()
	inner := backuptest.OpenDir(t, at)
	// A mark whose removal failed is read by those that follow until it expires.
	cleanMarks := func() {
		if err := os.RemoveAll(filepath.Join(at, "brock.marks")); err != nil {
			t.Fatal(err)
		}
	}
	job := func(b *backup.Backup) { b.ChunkBytes = 4 << 10 }
	d.Backup(inner, job)
	d.Delete("k007")
	last := d.Backup(inner, job)
	for n := 1; ; n++ {
		cleanMarks()
		dir := filepath.Join(t.TempDir(), "out")
		faulty := destinationtest.NewFaulty(inner)
		faulty.FailNth(destinationtest.AnyOp, n, errInjected)
		_, err := (&restore.Restore{Source: faulty, Dir: dir}).Run(t.Context())
		if err == nil && markFailed(faulty) {
			continue
		}
		if err == nil {
			if made := faulty.Count(destinationtest.AnyOp); made >= n {
				t.Fatalf("call %d of %d failed and nobody cared: %v", n, made, faulty.Trace())
			}
			backuptest.Equal(t, "restored", backuptest.ReadDir(t, filepath.Join(dir, "p1")), d.Model)
			break
		}
		wantNothingIn(t, dir)
		if !errors.Is(err, errInjected) || fault.Is(err, fault.Corrupt) {
			t.Fatalf("call %d fails: %v (%v)", n, err, fault.KindOf(err))
		}
	}
	for n := 1; ; n++ {
		cleanMarks()
		faulty := destinationtest.NewFaulty(inner)
		faulty.FailNth(destinationtest.AnyOp, n, errInjected)
		report, err := (&restore.Verify{Source: faulty, Level: restore.Every}).Run(t.Context())
		if err == nil && markFailed(faulty) {
			continue
		}
		if err == nil {
			if made := faulty.Count(destinationtest.AnyOp); made >= n || !report.Good || report.Series[0].Backups != last.BackupNum {
				t.Fatalf("call %d of %d failed and nobody cared: %+v", n, made, report)
			}
			break
		}
		if !errors.Is(err, errInjected) || fault.Is(err, fault.Corrupt) {
			t.Fatalf("call %d fails: %v (%v)", n, err, fault.KindOf(err))
		}
	}
}

// markFailed reports whether the call that failed was about a reader's mark,
// without which a reader goes on.
func markFailed(f *destinationtest.Faulty) bool {
	return slices.ContainsFunc(f.Trace(), func(c destinationtest.Call) bool {
		return errors.Is(c.Err, errInjected) && strings.HasPrefix(c.Name, "brock.marks")
	})
}

// wantNothingIn checks that a failed restore left nothing that looks finished,
// and no temporary directory.
func wantNothingIn(t testing.TB, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	if len(entries) != 0 {
		t.Fatalf("a failed restore left %v", entries)
	}
}
