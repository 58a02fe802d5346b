//go:build linux

package faultfs

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/backuptest"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/restore"
)

// newDir returns a new folder of the file system as a destination.
func newDir(t *testing.T, f *FS) (dir string, d destination.Destination) {
	t.Helper()
	dir, err := os.MkdirTemp(f.Dir, "d")
	if err != nil {
		t.Fatal(err)
	}
	return dir, backuptest.OpenDir(t, dir)
}

// filled returns a database of some hundred kB.
func filled(t *testing.T) *backuptest.DB {
	t.Helper()
	db, r := backuptest.New(t, true, nil), rand.New(rand.NewPCG(1, 2))
	for i := range 400 {
		db.Set(fmt.Sprintf("key/%03d", i), backuptest.Entry{Value: backuptest.RandomText(r, 700)})
	}
	return db
}

// checkWhole expects so many backups, all of them good, and the newest equal to
// the database.
func checkWhole(t *testing.T, db *backuptest.DB, dst destination.Destination, members int) {
	t.Helper()
	db.Model[backuptest.MarkerKey] = backuptest.Entry{}
	listing, err := backup.List(t.Context(), dst)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, s := range listing.Series {
		n += len(s.Members)
	}
	if n != members || len(listing.Damaged) > 0 {
		t.Errorf("there are %d backups, want %d; damaged: %v", n, members, listing.Damaged)
	}
	if _, err := (&restore.Verify{Source: dst, Level: restore.Every}).Run(t.Context()); err != nil {
		t.Error(err)
	}
	to := t.TempDir()
	if _, err := (&restore.Restore{Source: dst, Dir: to}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	backuptest.Equal(t, "restore", backuptest.ReadDir(t, filepath.Join(to, "p1")), db.Model)
}

// errnos are what a disk, a full one and a server that is gone answer.
var errnos = map[Op][]syscall.Errno{
	Write: {syscall.ENOSPC, syscall.EIO}, Fsync: {syscall.ENOSPC, syscall.EDQUOT, syscall.EIO}, Create: {syscall.ENOSPC, syscall.EROFS},
	Read: {syscall.EIO, syscall.ESTALE}, Mkdir: {syscall.EDQUOT}, Open: {syscall.ESTALE},
}

// TestEveryCallFails makes every single call of a backup fail in turn. The
// backup succeeds all the same and is whole, or it fails, names the place and
// the reason, and leaves no backup; and the next one is right.
func TestEveryCallFails(t *testing.T) {
	f, db := Mount(t), filled(t)
	_, dst := newDir(t, f)
	f.Heal()
	db.Backup(dst, nil)
	counts := map[Op]int{}
	for _, op := range Ops {
		counts[op] = f.Count(op)
	}
	t.Log("calls of a backup:", counts)
	if counts[SyncDir] == 0 || counts[Fsync] == 0 || counts[Link] == 0 {
		t.Fatal("the file system does not see the calls")
	}
	for _, op := range Ops {
		kinds := errnos[op]
		if kinds == nil {
			kinds = []syscall.Errno{syscall.EIO}
		}
		for n := 1; n <= counts[op]; n++ {
			errno := kinds[n%len(kinds)]
			t.Run(fmt.Sprintf("%s %d %v", op, n, errno), func(t *testing.T) { failOne(t, f, db, op, n, errno) })
		}
	}
}

func failOne(t *testing.T, f *FS, db *backuptest.DB, op Op, n int, errno syscall.Errno) {
	dir, dst := newDir(t, f)
	f.FailNth(op, n, errno)
	m, err := db.Job(dst, func(b *backup.Backup) { b.ForceFull = true }).Run(t.Context())
	f.Heal()
	members := 0
	if m != nil {
		members = 1
	}
	if err == nil || m != nil {
		checkWhole(t, db, dst, members)
	} else if !strings.Contains(err.Error(), errno.Error()) || !strings.Contains(err.Error(), dir) {
		t.Errorf("the error names not both %s and %v: %v", dir, errno, err)
	}
	// What could not be removed of the lease expires; this does not wait for it.
	if err := os.RemoveAll(filepath.Join(dir, "brock.lease")); err != nil {
		t.Fatal(err)
	}
	db.Backup(dst, func(b *backup.Backup) { b.ForceFull = true })
	checkWhole(t, db, dst, members+1)
}

// TestFullDisk is a disk that takes writes and says at the end that it is full,
// as an NFS server does.
func TestFullDisk(t *testing.T) {
	f, db := Mount(t), filled(t)
	dir, dst := newDir(t, f)
	db.Backup(dst, nil)
	f.Fail(Fsync, syscall.ENOSPC)
	_, err := db.Job(dst, nil).Run(t.Context())
	f.Heal()
	if !fault.Is(err, fault.NoSpace) || !strings.Contains(err.Error(), dir) {
		t.Errorf("on a full disk: %v", err)
	}
	if folders, ferr := filepath.Glob(filepath.Join(dir, "brock.2*")); ferr != nil || len(folders) != 1 {
		t.Errorf("the backup that failed has left something in %q, %v", folders, ferr)
	}
	db.Backup(dst, nil) // the lease was given back, though nothing could be written
	checkWhole(t, db, dst, 2)
}

// TestEveryReadFails makes each call of a verification and of a restore fail:
// both fail, or come out right.
func TestEveryReadFails(t *testing.T) {
	f, db := Mount(t), filled(t)
	_, dst := newDir(t, f)
	db.Backup(dst, nil)
	restoreNow := func(to string) error {
		_, err := (&restore.Restore{Source: dst, Dir: to}).Run(t.Context())
		return err
	}
	f.Heal()
	if err := restoreNow(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	for _, op := range []Op{Open, Read, List} {
		count := f.Count(op)
		for n := 1; n <= count; n++ {
			to := t.TempDir()
			f.FailNth(op, n, syscall.EIO)
			err := restoreNow(to)
			f.Heal()
			if err != nil {
				if left, rerr := os.ReadDir(to); rerr != nil || len(left) > 0 {
					t.Errorf("%s %d: a restore that failed has left %v, %v", op, n, left, rerr)
				}
				continue
			}
			backuptest.Equal(t, "restore", backuptest.ReadDir(t, filepath.Join(to, "p1")), db.Model)
		}
	}
}
