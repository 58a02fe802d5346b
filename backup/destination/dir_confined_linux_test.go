package destination_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/destination/destinationtest"
	"github.com/brockdb/brock/backup/fault"
)

// The tests of this file run against file systems that are really full, really
// read-only or really somebody else's, in a child process that may mount them.

const mounted = "mounted"

// inMountNamespace runs the test again in a child with mounts of its own: as
// root, or else in a user namespace. It reports false when this machine allows
// neither.
func inMountNamespace(t *testing.T, job string) bool {
	t.Helper()
	user := &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWNS | syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	for _, attr := range []*syscall.SysProcAttr{{Cloneflags: syscall.CLONE_NEWNS}, user} {
		child, err := destinationtest.StartChild(t, job, attr)
		if err != nil {
			t.Logf("no child with clone flags %#x: %v", attr.Cloneflags, err)
			continue
		}
		answer := child.Next()
		child.Wait()
		if answer == mounted {
			return true
		}
		t.Log(answer)
	}
	return false
}

// mountTmpfs mounts a file system in the child and returns a destination on it.
func mountTmpfs(t *testing.T, options string) (d destination.Destination, dir string, ok bool) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "mnt")
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
		return nil, "", false
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dirAt(t, dir), dir, true
}

func TestDirFull(t *testing.T) {
	if _, child := destinationtest.ChildJob(); child {
		if d, _, ok := mountTmpfs(t, "size=1m"); ok {
			fillUp(t, d)
		}
		return
	}
	if !inMountNamespace(t, "size") {
		t.Log("TestDirFileTooLarge covers a write that has no room")
	}
}

// TestDirFileTooLarge meets the limit on the size of a file, which needs no
// privilege.
func TestDirFileTooLarge(t *testing.T) {
	if dir, child := destinationtest.ChildJob(); child {
		signal.Ignore(syscall.SIGXFSZ)
		limit := syscall.Rlimit{Cur: 700 << 10, Max: 700 << 10}
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			t.Fatal(err)
		}
		fillUp(t, dirAt(t, dir))
		return
	}
	child, err := destinationtest.StartChild(t, t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	child.Wait()
}

// fillUp writes an object of 600 KiB, one of 1 MiB that does not fit, and one of
// 600 KiB again.
func fillUp(t *testing.T, d destination.Destination) {
	t.Helper()
	small := bytes.Repeat([]byte("0123456789abcdef"), 600<<10/16)
	destinationtest.Put(t, d, "a/fits", small)
	if err := d.Remove(t.Context(), "a/fits"); err != nil {
		t.Fatal(err)
	}
	w, err := d.Create(t.Context(), "b/large", destination.Exclusive)
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; err == nil && n < 1<<20+1; n += 64 << 10 {
		_, err = w.Write(small[:64<<10])
	}
	wantFault(t, err, fault.NoSpace, "cannot write "+d.String()+"/b/large: ")
	if again := w.Commit(t.Context()); !errors.Is(again, err) {
		t.Errorf("commit after the failed write returned %v", again)
	}
	if names := destinationtest.Names(t, d, ""); len(names) != 0 {
		t.Errorf("%q is visible", names)
	}
	if err := w.Abort(); err != nil {
		t.Fatal(err)
	}
	destinationtest.Put(t, d, "c/fits", small)
	if got := destinationtest.Get(t, d, "c/fits"); !bytes.Equal(got, small) {
		t.Error("the object that fits was not read back as it was written")
	}
}

func TestDirOutOfInodes(t *testing.T) {
	if _, child := destinationtest.ChildJob(); child {
		d, _, ok := mountTmpfs(t, "nr_inodes=10")
		if !ok {
			return
		}
		var err error
		for i := 0; err == nil && i < 20; i++ {
			var w destination.Writer
			if w, err = d.Create(t.Context(), fmt.Sprintf("%d/object", i), destination.Exclusive); err == nil {
				err = w.Commit(t.Context())
			}
		}
		wantFault(t, err, fault.NoSpace, "cannot create ")
		return
	}
	if !inMountNamespace(t, "inodes") {
		t.Log("TestDirCommitFails covers an operation on a folder that has no room")
	}
}

func TestDirReadOnly(t *testing.T) {
	if _, child := destinationtest.ChildJob(); child {
		d, dir, ok := mountTmpfs(t, "size=1m")
		if !ok {
			return
		}
		destinationtest.Put(t, d, "folder/object", []byte("content"))
		if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
			t.Fatal(err)
		}
		wantReadable(t, d)
		wantDenied(t, d, "read-only")
		wantDenied(t, dirAt(t, filepath.Join(dir, "new", "root")), "read-only")
		return
	}
	if !inMountNamespace(t, "read-only") {
		t.Log("TestDirUnprivileged covers a destination that may not be written")
	}
}

// TestDirUnprivileged uses a directory of somebody else.
func TestDirUnprivileged(t *testing.T) {
	if dir, child := destinationtest.ChildJob(); child {
		becomeNobody(t)
		d := dirAt(t, dir)
		wantReadable(t, d)
		wantDenied(t, d, "permission")
		wantDenied(t, dirAt(t, filepath.Join(dir, "new", "root")), "permission")
		_, err := d.Open(t.Context(), "folder/unreadable", 0, -1)
		wantFault(t, err, fault.Denied, "cannot open "+dir+"/folder/unreadable: permission denied")
		return
	}
	dir := t.TempDir()
	d := dirAt(t, dir)
	destinationtest.Put(t, d, "folder/object", []byte("content"))
	destinationtest.Put(t, d, "folder/unreadable", []byte("content"))
	for _, mode := range []struct {
		path string
		mode os.FileMode
	}{{"folder/unreadable", 0}, {"folder/object", 0o444}, {"folder", 0o555}, {"", 0o555}} {
		path := filepath.Join(dir, mode.path)
		if err := os.Chmod(path, mode.mode); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := os.Chmod(path, 0o700); err != nil {
				t.Error(err)
			}
		})
	}
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // nobody must get there
		t.Fatal(err)
	}
	child, err := destinationtest.StartChild(t, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	child.Wait()
}

// becomeNobody gives up root for good: permission bits do not bind root.
func becomeNobody(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		return
	}
	const nobody = 65534
	if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(nobody), syscall.Setuid(nobody)); err != nil {
		t.Fatal(err)
	}
}

func wantReadable(t *testing.T, d destination.Destination) {
	t.Helper()
	if got := destinationtest.Get(t, d, "folder/object"); string(got) != "content" {
		t.Errorf("read %q", got)
	}
	if names := destinationtest.Names(t, d, ""); len(names) == 0 {
		t.Error("nothing is listed")
	}
}

// wantDenied tries everything that writes to d.
func wantDenied(t *testing.T, d destination.Destination, hint string) {
	t.Helper()
	for _, name := range []string{"new", "folder/new", "new/new"} {
		for _, mode := range []destination.Mode{destination.Exclusive, destination.Replace} {
			_, err := d.Create(t.Context(), name, mode)
			wantFault(t, err, fault.Denied, "cannot create "+d.String()+"/"+name+": ")
			if !strings.Contains(fault.HintOf(err), hint) {
				t.Errorf("the hint is %q, want %q", fault.HintOf(err), hint)
			}
		}
	}
	if _, err := d.Stat(t.Context(), "folder/object"); err == nil {
		wantFault(t, d.Remove(t.Context(), "folder/object"), fault.Denied, "cannot remove ")
	}
}
