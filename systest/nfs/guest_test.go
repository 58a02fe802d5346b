//go:build nfsguest

package nfs

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/backuptest"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/destination/destinationtest"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/restore"
)

// What init.sh has exported and mounted.
const export = "/mnt/export"

var mounts = []string{"/mnt/nfs4", "/mnt/nfs3"}

// shell runs a command of the server's administrator.
func shell(t *testing.T, line string) {
	t.Helper()
	if out, err := exec.Command("bash", "-c", line).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
}

func stopServer(t *testing.T) { shell(t, "rpc.nfsd 0") }

func startServer(t *testing.T) {
	shell(t, "rpc.nfsd -H 127.0.0.1 4; echo Y > /proc/fs/nfsd/v4_end_grace")
}

func exportAs(t *testing.T, options string) {
	shell(t, "exportfs -u 127.0.0.1:"+export+"; exportfs -o "+options+",insecure,fsid=0,no_subtree_check 127.0.0.1:"+export+"; exportfs -f")
}

// onEach runs a test on a new folder of each mount.
func onEach(t *testing.T, test func(t *testing.T, dir string)) {
	for _, mount := range mounts {
		t.Run(filepath.Base(mount), func(t *testing.T) {
			dir, err := os.MkdirTemp(mount, "b")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(dir) }) // the disk is thrown away
			test(t, dir)
		})
	}
}

// database returns a database of about so many MB that do not compress.
func database(t *testing.T, megabytes int) *backuptest.DB {
	t.Helper()
	db := backuptest.New(t, true, nil)
	r := rand.New(rand.NewPCG(1, 2))
	grow(db, r, 0, megabytes*256)
	return db
}

func grow(db *backuptest.DB, r *rand.Rand, from, to int) {
	for i := from; i < to; i++ {
		value := make([]byte, 4096)
		for j := range value {
			value[j] = byte(r.Uint32())
		}
		db.Set(fmt.Sprintf("key/%05d", i), backuptest.Entry{Value: string(value)})
	}
}

func restored(t *testing.T, from destination.Destination) backuptest.State {
	t.Helper()
	to := t.TempDir()
	if _, err := (&restore.Restore{Source: from, Dir: to}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return backuptest.ReadDir(t, filepath.Join(to, "p1"))
}

func verify(t *testing.T, at destination.Destination) {
	t.Helper()
	report, err := (&restore.Verify{Source: at, Level: restore.Every}).Run(t.Context())
	if err != nil {
		t.Fatalf("%v\n%+v", err, report)
	}
}

func members(t *testing.T, at destination.Destination) (n int) {
	t.Helper()
	listing, err := backup.List(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	if len(listing.Damaged) > 0 {
		t.Errorf("damaged: %+v", listing.Damaged)
	}
	// A folder may stay: the client keeps a removed file in it, under another
	// name, until it is closed.
	for _, folder := range listing.Unfinished {
		if left := destinationtest.Names(t, at, folder); len(left) > 0 {
			t.Errorf("in %s is left %q", folder, left)
		}
	}
	for _, s := range listing.Series {
		n += len(s.Members)
	}
	return n
}

func want(t *testing.T, err error, kind fault.Kind, texts ...string) {
	t.Helper()
	if !fault.Is(err, kind) {
		t.Errorf("the error is of kind %v, want %v: %v", fault.KindOf(err), kind, err)
	}
	for _, text := range texts {
		if err == nil || !strings.Contains(err.Error()+" hint: "+fault.HintOf(err), text) {
			t.Errorf("the error lacks %q: %v (hint: %s)", text, err, fault.HintOf(err))
		}
	}
}

func TestBackups(t *testing.T) {
	onEach(t, func(t *testing.T, dir string) {
		db, dst := database(t, 4), backuptest.OpenDir(t, dir)
		db.Backup(dst, nil)
		full := db.Model.Clone()
		db.Delete("key/00001")
		grow(db, rand.New(rand.NewPCG(3, 4)), 500, 1200)
		db.Backup(dst, nil)
		verify(t, dst)
		backuptest.Equal(t, "restore", restored(t, dst), db.Model)
		to := t.TempDir()
		if _, err := (&restore.Restore{Source: dst, Dir: to, BackupNum: 1}).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		backuptest.Equal(t, "restore of the full", backuptest.ReadDir(t, filepath.Join(to, "p1")), full)
	})
}

// TestFullExport fills the server's disk: the client hears of it at fsync.
func TestFullExport(t *testing.T) {
	onEach(t, func(t *testing.T, dir string) {
		db, dst := database(t, 2), backuptest.OpenDir(t, dir)
		db.Backup(dst, nil)
		grow(db, rand.New(rand.NewPCG(5, 6)), 2000, 5000)
		fill := filepath.Join(export, "fill")
		before := free(t)
		shell(t, fmt.Sprintf("fallocate -l %d %s", before-3<<20, fill))
		t.Cleanup(func() { _ = os.Remove(fill) }) // it was removed unless the test failed
		left := free(t)
		_, err := db.Job(dst, nil).Run(t.Context())
		t.Log(err)
		want(t, err, fault.NoSpace, dir, "no space left on device", "free space at the destination")
		if n := members(t, dst); n != 1 {
			t.Errorf("there are %d backups", n)
		}
		shell(t, "sync")
		// Room for the blocks of folders, which stay.
		if now := free(t); now < left-256<<10 {
			t.Errorf("%d bytes were free before the backup that failed, %d after it", left, now)
		}
		shell(t, "rm "+fill)
		backupWhenFree(t, db, dst)
		verify(t, dst)
		backuptest.Equal(t, "restore", restored(t, dst), db.Model)
	})
}

func free(t *testing.T) int64 {
	t.Helper()
	var s syscall.Statfs_t
	if err := syscall.Statfs(export, &s); err != nil {
		t.Fatal(err)
	}
	return int64(s.Bavail) * s.Bsize
}

// stopping calls stop once, when the first part is begun.
func stopping(at destination.Destination, stop func()) destination.Destination {
	var once sync.Once
	return &backuptest.Hook{Destination: at, BeforeCreate: func(name string) {
		if strings.HasSuffix(name, ".backup") {
			once.Do(stop)
		}
	}}
}

// TestServerAwayForAMoment restarts the server in the middle of a backup: the
// client waits for it.
func TestServerAwayForAMoment(t *testing.T) {
	onEach(t, func(t *testing.T, dir string) {
		db, dst := database(t, 4), backuptest.OpenDir(t, dir)
		var back sync.WaitGroup
		away := stopping(dst, func() {
			stopServer(t)
			back.Go(func() {
				time.Sleep(time.Second) // how long it is away
				startServer(t)
			})
		})
		db.Backup(away, nil)
		back.Wait()
		verify(t, dst)
		backuptest.Equal(t, "restore", restored(t, dst), db.Model)
	})
}

// TestServerAwayForLong stops the server for longer than the clients wait: the
// backups fail, and the next ones are right.
func TestServerAwayForLong(t *testing.T) {
	type client struct {
		db  *backuptest.DB
		dst destination.Destination
		dir string
		err error
	}
	clients := make([]client, len(mounts))
	var begun, ended sync.WaitGroup
	begun.Add(len(mounts))
	stopped := make(chan struct{})
	for i, mount := range mounts {
		c := &clients[i]
		c.dir = filepath.Join(mount, "away"+filepath.Base(mount))
		if err := os.Mkdir(c.dir, 0o700); err != nil {
			t.Fatal(err)
		}
		c.db, c.dst = database(t, 4), backuptest.OpenDir(t, c.dir)
		ended.Go(func() {
			_, c.err = c.db.Job(stopping(c.dst, func() {
				begun.Done()
				<-stopped
			}), nil).Run(t.Context())
		})
	}
	begun.Wait()
	stopServer(t)
	close(stopped)
	ended.Wait()
	startServer(t)
	for _, c := range clients {
		t.Log(c.err)
		want(t, c.err, fault.Other, c.dir)
		backupWhenFree(t, c.db, c.dst)
		if n := members(t, c.dst); n != 1 {
			t.Errorf("there are %d backups", n)
		}
		verify(t, c.dst)
		backuptest.Equal(t, "restore", restored(t, c.dst), c.db.Model)
	}
}

// backupWhenFree backs up, when the lease of the backup that failed, which
// could not be released, has run out.
func backupWhenFree(t *testing.T, db *backuptest.DB, dst destination.Destination) {
	t.Helper()
	told := false
	for deadline := time.Now().Add(3 * time.Minute); ; {
		_, err := db.Job(dst, nil).Run(t.Context())
		if err == nil {
			db.Model[backuptest.MarkerKey] = backuptest.Entry{}
			return
		}
		if !fault.Is(err, fault.Locked) || time.Now().After(deadline) {
			t.Fatal(err)
		}
		if !told {
			told = true
			t.Log("waiting: ", err)
		}
		time.Sleep(5 * time.Second) // between two tries
	}
}

// TestStaleFolder removes a backup's folder on the server under the hands of
// the client that writes it.
func TestStaleFolder(t *testing.T) {
	onEach(t, func(t *testing.T, dir string) {
		db, dst := database(t, 4), backuptest.OpenDir(t, dir)
		_, err := db.Job(stopping(dst, func() {
			shell(t, "rm -rf "+filepath.Join(export, filepath.Base(dir))+"/brock.2*")
		}), nil).Run(t.Context())
		if err != nil {
			t.Log(err)
			want(t, err, fault.KindOf(err), dir)
			if n := members(t, dst); n != 0 {
				t.Errorf("there are %d backups", n)
			}
			backupWhenFree(t, db, dst)
		}
		db.Model[backuptest.MarkerKey] = backuptest.Entry{}
		verify(t, dst)
		backuptest.Equal(t, "restore", restored(t, dst), db.Model)
	})
}

func TestReadOnlyExport(t *testing.T) {
	onEach(t, func(t *testing.T, dir string) {
		db, dst := database(t, 1), backuptest.OpenDir(t, dir)
		db.Backup(dst, nil)
		exportAs(t, "ro,no_root_squash")
		defer exportAs(t, "rw,no_root_squash")
		want(t, db.Job(dst, nil).Check(t.Context()), fault.Denied, dir, "read-only")
		_, err := db.Job(dst, nil).Run(t.Context())
		want(t, err, fault.Denied, dir, "read-only")
		verify(t, dst)
		backuptest.Equal(t, "restore", restored(t, dst), db.Model)
	})
}

func TestRootSquash(t *testing.T) {
	onEach(t, func(t *testing.T, dir string) {
		db, dst := database(t, 1), backuptest.OpenDir(t, dir)
		db.Backup(dst, nil)
		shell(t, "chmod 755 "+export+"; chmod 700 "+filepath.Join(export, filepath.Base(dir)))
		exportAs(t, "rw,root_squash")
		defer exportAs(t, "rw,no_root_squash")
		want(t, db.Job(dst, nil).Check(t.Context()), fault.Denied, dir, "permission denied", "give the user")
	})
}

// TestConformance runs the suite of all backends.
func TestConformance(t *testing.T) {
	destinationtest.Run(t, func(t *testing.T) destination.Destination {
		dir, err := os.MkdirTemp(mounts[0], "c")
		if err != nil {
			t.Fatal(err)
		}
		return backuptest.OpenDir(t, dir)
	})
}
