package systest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/brockdb/brock/backup/fault"
)

// TestUnmountedDestination takes the file system of a destination away, so that
// the folder it was mounted on is there and empty. No full backup goes into that
// folder unless it is asked for; and when the backups are back, they go on.
func TestUnmountedDestination(t *testing.T) {
	t.Parallel()
	m, root := model{}, t.TempDir()
	mountPoint, away := filepath.Join(root, "mnt"), filepath.Join(root, "away")
	a := startAlpha(t, t.TempDir())
	a.store(t, m, bankRef, putRecord{"k", []byte(`1`)})
	first := a.backup(t, mountPoint, false)

	if err := os.Rename(mountPoint, away); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(mountPoint, 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		_, err := a.submit(t, mountPoint, false)
		wantRefusal(t, err, fault.Mixed, "no backup is there, but series "+first.BackupID+" of this database should be", "is the file system mounted")
	}
	a.stop(t)
	a = a.again(t) // it is remembered durably
	_, err := a.submit(t, mountPoint, false)
	wantRefusal(t, err, fault.Mixed, "no backup is there", "forceFull: true")
	if left := files(t, mountPoint); len(left) != 0 {
		t.Errorf("refused backups have left %q", left)
	}
	if other := a.backup(t, filepath.Join(root, "other"), false); other.BackupNum != 1 {
		t.Errorf("a backup elsewhere is %+v", other)
	}

	if err := os.Remove(mountPoint); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(away, mountPoint); err != nil {
		t.Fatal(err)
	}
	a.store(t, m, bankRef, putRecord{"l", []byte(`2`)})
	if next := a.backup(t, mountPoint, false); next.BackupID != first.BackupID || next.BackupNum != 2 {
		t.Errorf("the backup after the file system is back is %+v", next)
	}

	if err := os.RemoveAll(mountPoint); err != nil {
		t.Fatal(err)
	}
	if anew := a.backup(t, mountPoint, true); anew.BackupNum != 1 {
		t.Errorf("a forced full is %+v", anew)
	}
	a.store(t, m, bankRef, putRecord{"m", []byte(`3`)})
	last := a.backup(t, mountPoint, false)
	if last.BackupNum != 2 {
		t.Errorf("the backup after it is %+v", last)
	}
	a.stop(t)
	again := startAlpha(t, restoreBackup(t, mountPoint, last.BackupID, 2).dir)
	again.check(t, m, "the series after the forced full")
	again.stop(t)
}
