package restore_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"go.uber.org/goleak"

	"github.com/brockdb/brock/backup/backuptest"
	"github.com/brockdb/brock/restore"
)

// TestNoGoroutineStays restores and verifies, well and not so well. It is not
// parallel, so that no other test's goroutines begin meanwhile. (A database that
// Badger cannot open leaves goroutines of Badger's behind, so that the package as
// a whole cannot be looked at.)
func TestNoGoroutineStays(t *testing.T) {
	db, r := backuptest.New(t, true, nil), rand.New(rand.NewPCG(1, 2))
	for i := range 100 {
		db.Set(fmt.Sprintf("key/%03d", i), backuptest.Entry{Value: backuptest.RandomText(r, 700)})
	}
	from := backuptest.OpenDir(t, t.TempDir())
	db.Backup(from, nil)
	before := goleak.IgnoreCurrent()
	if _, err := (&restore.Restore{Source: from, Dir: t.TempDir()}).Run(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := (&restore.Verify{Source: from, Level: restore.Every}).Run(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := (&restore.Restore{Source: from, Dir: "/dev/null/nowhere"}).Run(t.Context()); err == nil {
		t.Error("restored into no directory")
	}
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
}
