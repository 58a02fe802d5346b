package systest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/brockdb/brock/backup/destination/destinationtest"
	"github.com/brockdb/brock/backup/fault"
)

// The tests of this file need file systems that are really small or really
// read-only: they run in a child process with mounts of its own.

const mounted = "mounted"

// inMountNamespace runs the test again in a child with mounts of its own: as
// root, or else in a user namespace.
func inMountNamespace(t *testing.T) {
	t.Helper()
	user := &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWNS | syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	for _, attr := range []*syscall.SysProcAttr{{Cloneflags: syscall.CLONE_NEWNS}, user} {
		child, err := destinationtest.StartChild(t, "mount", attr)
		if err != nil {
			t.Logf("no child with clone flags %#x: %v", attr.Cloneflags, err)
			continue
		}
		answer := child.Next()
		child.Wait()
		if answer == mounted {
			return
		}
		t.Log(answer)
	}
	t.Log("nothing may be mounted here: TestRefusedBackups and the tests of package destination cover what can be without")
}

// mountTmpfs mounts a file system in the child; "" says that it may not.
func mountTmpfs(t *testing.T, options string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "mnt")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	err := syscall.Mount("", "/", "", syscall.MS_PRIVATE|syscall.MS_REC, "")
	if err == nil {
		err = syscall.Mount("tmpfs", dir, "tmpfs", 0, options)
	}
	answer := mounted
	if err != nil {
		answer = fmt.Sprintf("cannot mount: %v", err)
	}
	if err := destinationtest.Report(answer); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		return ""
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestSmallDisk restores to a disk that is too small, which is refused before
// anything is written, and backs up to one that gets full, which fails and
// leaves nothing.
func TestSmallDisk(t *testing.T) {
	if _, child := destinationtest.ChildJob(); !child {
		t.Parallel()
		inMountNamespace(t)
		return
	}
	small := mountTmpfs(t, "size=1m")
	if small == "" {
		return
	}
	m := model{}
	a := startAlpha(t, t.TempDir())
	a.load(t, m, ballastRef, ballast(2_000))
	destination := t.TempDir()
	a.backup(t, destination, false)
	target := filepath.Join(small, "r")
	brock(t, "restore", "-p", target, "-l", destination, "--force_zero=false").expect(t, exitError,
		"cannot restore to "+target+": up to ", " bytes are needed and ", " are free",
		"hint: free some space or choose another directory", "--ignore_free_space")
	if left := files(t, small); len(left) != 0 || exists(t, target) {
		t.Errorf("there is %q", left)
	}
	brock(t, "restore", "-p", target, "-l", destination, "--force_zero=false", "--ignore_free_space").
		expect(t, exitError, "there is no room")
	if left := files(t, small); len(left) != 0 {
		t.Errorf("a restore that failed has left %q", left)
	}

	failed, err := a.tryBackup(t, small, false)
	if err != nil || failed.Status != "Failed" || !strings.Contains(failed.Message, "no space left on device") ||
		!strings.Contains(failed.Hint, "free space at the destination") {
		t.Errorf("the backup to a full disk: %+v, %v", failed, err)
	}
	if all, left := list(t, small), unfinished(t, small); len(all) != 0 || len(left) != 0 {
		t.Errorf("a backup that failed has left %v and %q", all, left)
	}
	a.backup(t, destination, false)
	a.check(t, m, "after a full disk")
	a.stop(t)
}

// TestReadOnlyDestination backs up to a read-only file system, which is told at
// once, and restores from it, which works.
func TestReadOnlyDestination(t *testing.T) {
	if _, child := destinationtest.ChildJob(); !child {
		t.Parallel()
		inMountNamespace(t)
		return
	}
	dir := mountTmpfs(t, "size=1m")
	if dir == "" {
		return
	}
	m := model{}
	a := startAlpha(t, t.TempDir())
	a.store(t, m, bankRef, putRecord{"k", []byte(`"v"`)})
	made := a.backup(t, dir, false)
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{dir, filepath.Join(dir, "new")} {
		_, err := a.submit(t, to, false)
		wantRefusal(t, err, fault.Denied, "read-only file system", "the file system is mounted read-only")
	}
	if tasks := a.tasks(t); len(tasks) != 1 {
		t.Errorf("there are the tasks %+v", tasks)
	}
	good(t, "verify", "-l", dir, "--level", "full")
	r := startAlpha(t, restoreBackup(t, dir, made.BackupID, 0).dir)
	r.check(t, m, "restore from a read-only file system")
	r.stop(t)
	a.stop(t)
}

// TestFullDatabaseDisk fills the disk that a database is on. Writes are refused
// in time, and what was acknowledged stays; it can still be backed up to
// elsewhere, and goes on when there is room again.
func TestFullDatabaseDisk(t *testing.T) {
	if _, child := destinationtest.ChildJob(); !child {
		t.Parallel()
		inMountNamespace(t)
		return
	}
	dir := mountTmpfs(t, "size=518m")
	if dir == "" {
		return
	}
	m, destination := model{}, t.TempDir()
	a := startAlpha(t, filepath.Join(dir, "db"))
	var err error
	for round := 0; err == nil; round++ {
		if round == 30 {
			t.Fatal("a disk that is full takes everything")
		}
		batch := ballast(1_000)
		into := ref{"default", fmt.Sprint("round ", round)}
		if _, err = a.Load(t.Context(), into.namespace, into.name, bytes.NewReader(batch.dump())); err == nil {
			m[into] = &collection{records: batch}
		}
	}
	wantRefusal(t, err, fault.Other, "to go on safely (0 records before it are stored)", "make room on the disk of the store's directory")
	a.remove(t, m, m.sorted()[0], m.someKeys(m.sorted()[0], 10)...)
	a.backup(t, destination, false)
	a.kill(t)
	a = a.again(t)
	a.check(t, m, "with a full disk, after a kill")
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT, "size=900m"); err != nil {
		t.Fatal(err)
	}
	a.store(t, m, bankRef, putRecord{"k", []byte(`2`)})
	a.backup(t, destination, false)
	a.stop(t)
	good(t, "verify", "-l", destination, "--level", "full")
}
