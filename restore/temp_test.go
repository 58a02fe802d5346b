package restore

import (
	"os"
	"path/filepath"
	"testing"
)

// TestLockOfWhatIsGone: a file that was opened, and then removed or renamed with
// its directory by the restore that held the lock, is no lock on what has its
// name now.
func TestLockOfWhatIsGone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "p1.tmp")
	name := filepath.Join(dir, markerFile)
	open := func() *os.File {
		t.Helper()
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		})
		return f
	}
	first := open()
	if !isOpenFile(first, name) {
		t.Error("the file that was just opened is another")
	}
	if err := os.Rename(dir, dir+".renamed"); err != nil {
		t.Fatal(err)
	}
	if isOpenFile(first, name) {
		t.Error("the directory was renamed")
	}
	second := open()
	if isOpenFile(first, name) || !isOpenFile(second, name) {
		t.Error("the directory was made again")
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if isOpenFile(second, name) {
		t.Error("the file was removed")
	}
}
