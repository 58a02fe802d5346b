package restore_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup/backuptest"
	"github.com/brockdb/brock/backup/destination/destinationtest"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/restore"
)

// TestRestoreToFullDisk restores more than fits, to a file system that is really
// full, in a child process that may mount one: the process survives, says that
// there is no room, and leaves nothing.
func TestRestoreToFullDisk(t *testing.T) {
	if from, child := destinationtest.ChildJob(); child {
		restoreToSmallDisk(t, from)
		return
	}
	d := backuptest.New(t, false, func(o badger.Options) badger.Options { return o.WithMemTableSize(4 << 20) })
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 400 {
		d.Commit(func(txn *badger.Txn) error {
			for j := range 20 {
				if err := txn.Set(fmt.Appendf(nil, "k%04d", i*20+j), []byte(backuptest.RandomText(r, 1000))); err != nil {
					return err
				}
			}
			return nil
		})
	}
	from := t.TempDir()
	d.Backup(backuptest.OpenDir(t, from), nil)
	user := &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWNS | syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	for _, attr := range []*syscall.SysProcAttr{{Cloneflags: syscall.CLONE_NEWNS}, user} {
		child, err := destinationtest.StartChild(t, from, attr)
		if err != nil {
			t.Logf("no child with clone flags %#x: %v", attr.Cloneflags, err)
			continue
		}
		answer := child.Next()
		child.Wait()
		if answer == "mounted" {
			return
		}
		t.Log(answer)
	}
	t.Log("this machine does not let a test mount a file system; the free space is checked before a restore all the same")
}

func restoreToSmallDisk(t *testing.T, from string) {
	small := filepath.Join(t.TempDir(), "small")
	err := os.Mkdir(small, 0o700)
	if err == nil {
		err = syscall.Mount("", "/", "", syscall.MS_PRIVATE|syscall.MS_REC, "")
	}
	if err == nil {
		err = syscall.Mount("tmpfs", small, "tmpfs", 0, "size=4m")
	}
	if err != nil {
		if err := destinationtest.Report(fmt.Sprint("cannot mount: ", err)); err != nil {
			t.Fatal(err)
		}
		return
	}
	defer func() {
		if err := syscall.Unmount(small, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	if err := destinationtest.Report("mounted"); err != nil {
		t.Fatal(err)
	}
	for _, ignore := range []bool{false, true} {
		for _, kind := range []restore.SinkKind{restore.SinkTables, restore.SinkStream} {
			r := &restore.Restore{Source: backuptest.OpenDir(t, from), Dir: filepath.Join(small, "out"), Sink: kind, IgnoreFreeSpace: ignore}
			_, err := r.Run(t.Context())
			if !fault.Is(err, fault.NoSpace) || !ignore && !strings.Contains(fault.HintOf(err), "ignore_free_space") {
				t.Errorf("sink %d, free space ignored %v: %v (%v)", kind, ignore, err, fault.KindOf(err))
			}
			wantNothingIn(t, r.Dir)
		}
	}
}
