package systest

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestKilledRestore kills brock restore with SIGKILL at random moments. There is
// no p1 then, or, when it was too late, a whole one; and saying it again works.
func TestKilledRestore(t *testing.T) {
	t.Parallel()
	random := newRandom(t)
	k := newKilledRestore(t)
	began := time.Now()
	good(t, k.command(filepath.Join(t.TempDir(), "r"))...)
	usual := time.Since(began)
	early := 0
	const rounds = 4
	for round := range rounds {
		dir := filepath.Join(t.TempDir(), "r")
		p := start(t, nil, k.command(dir)...)
		time.Sleep(within(random, usual, round, rounds)) // the moment is what the test is about
		p.signal(t, syscall.SIGKILL)
		p.exit()
		if !exists(t, filepath.Join(dir, "p1")) {
			early++
		}
		k.finish(t, dir)
	}
	if early == 0 {
		t.Error("every kill came too late, so nothing was shown")
	}
}

// within returns a random moment in the given one of as many equal parts of a
// time: early and late ones all occur.
func within(random *rand.Rand, whole time.Duration, part, parts int) time.Duration {
	return (whole*time.Duration(part) + time.Duration(random.Int64N(int64(whole)))) / time.Duration(parts)
}

// TestKilledRestoreAtItsEnd kills brock restore in its last steps: as soon as
// the MANIFEST of Badger is there, which comes after all tables, and as soon as
// the mark of a restore in progress is gone.
func TestKilledRestoreAtItsEnd(t *testing.T) {
	t.Parallel()
	k := newKilledRestore(t)
	for i := range 4 {
		dir := filepath.Join(t.TempDir(), "r")
		p := start(t, nil, k.command(dir)...)
		ended := make(chan int, 1)
		go func() { ended <- p.exit() }()
		for !exists(t, filepath.Join(dir, "p1.tmp", "MANIFEST")) && len(ended) == 0 {
			time.Sleep(50 * time.Microsecond)
		}
		for i%2 == 1 && exists(t, filepath.Join(dir, "p1.tmp", "BROCK_RESTORE_IN_PROGRESS")) && len(ended) == 0 {
			continue // without a pause: the moment after it is short
		}
		p.signal(t, syscall.SIGKILL)
		<-ended
		k.finish(t, dir)
	}
}

// killedRestore is a series and what it holds.
type killedRestore struct {
	destination string
	model       model
}

func newKilledRestore(t *testing.T) *killedRestore {
	k := &killedRestore{t.TempDir(), model{}}
	a := startAlpha(t, t.TempDir())
	a.load(t, k.model, ballastRef, ballast(ballastKB))
	a.backup(t, k.destination, false)
	a.remove(t, k.model, ballastRef, k.model.someKeys(ballastRef, 300)...)
	a.load(t, k.model, stockRef, ballast(100))
	a.backup(t, k.destination, false)
	a.stop(t)
	return k
}

func (k *killedRestore) command(dir string) []string {
	return []string{"restore", "-p", dir, "-l", k.destination, "--force_zero=false"}
}

// finish restores into dir, unless a restore has come to its end there, and
// compares what has become of it.
func (k *killedRestore) finish(t *testing.T, dir string) {
	t.Helper()
	p1 := filepath.Join(dir, "p1")
	if !exists(t, p1) {
		good(t, k.command(dir)...)
	}
	a := startAlpha(t, p1)
	a.check(t, k.model, "after the restore")
	a.stop(t)
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("beside p1 there is something in %s: %v (%v)", dir, entries, err)
	}
}

func exists(t *testing.T, path string) bool {
	t.Helper()
	_, err := os.Lstat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return err == nil
}
