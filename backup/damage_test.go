package backup_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	badger "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/backuptest"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/systest/leaks"
)

const (
	damagedKeys  = 4000
	valueLogKeys = 20 // the last ones
)

func damagedKey(i int) []byte { return fmt.Appendf(nil, "key/%05d", i) }

// sourceOptions make one large table, and no compaction that meets the damage
// before the backup does.
func sourceOptions(dir string) badger.Options {
	return backuptest.SmallOptions(dir).WithMemTableSize(4 << 20).WithNumCompactors(0).WithNumLevelZeroTables(10).
		WithNumLevelZeroTablesStall(20)
}

func encrypted(o badger.Options) badger.Options {
	return o.WithEncryptionKey(bytes.Repeat([]byte{3}, 32)).WithIndexCacheSize(4 << 20)
}

func checksums(o badger.Options) badger.Options {
	return o.WithChecksumVerificationMode(options.OnBlockRead).WithVerifyValueChecksum(true)
}

func plain(o badger.Options) badger.Options { return o }

// closedDB makes a database of a few hundred blocks and a value log, and closes
// it.
func closedDB(t *testing.T, o badger.Options) {
	t.Helper()
	d := backuptest.Open(t, false, o)
	r := rand.New(rand.NewPCG(1, 2))
	for i := 0; i < damagedKeys; i += 100 {
		d.Commit(func(txn *badger.Txn) error {
			for j := i; j < i+100; j++ {
				size := 100
				if j >= damagedKeys-valueLogKeys {
					size = 20 << 10
				}
				if err := txn.Set(damagedKey(j), []byte(backuptest.RandomText(r, size))); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

func glob(t *testing.T, dir, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("no %s in %s: %v", pattern, dir, err)
	}
	return files
}

// overwrite changes the bytes of a file from offset, in place.
func overwrite(t *testing.T, file string, offset int64, size int, change func(old byte) byte) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, size)
	_, err = f.ReadAt(b, offset)
	for i := range b {
		b[i] = change(b[i])
	}
	if err == nil {
		_, err = f.WriteAt(b, offset)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

func flip(old byte) byte { return old ^ 1 }

// middle returns the offset in the middle of the file.
func middle(t *testing.T, file string) int64 {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size() / 2
}

// wantUnreadable checks that a backup of d fails as it must: the error is of
// kind Corrupt, names what, has a hint, and no backup is left.
func wantUnreadable(t *testing.T, d *backuptest.DB, what string) {
	t.Helper()
	dst := backuptest.OpenDir(t, t.TempDir())
	m, err := d.Job(dst, nil).Run(t.Context())
	if m != nil || !fault.Is(err, fault.Corrupt) {
		t.Fatalf("the backup of a damaged database gave %+v and %v", m, err)
	}
	if !strings.Contains(err.Error(), what) || fault.HintOf(err) == "" {
		t.Errorf("the error does not name %s, or has no hint: %v (%s)", what, err, fault.HintOf(err))
	}
	l, err := backup.List(t.Context(), dst)
	if err != nil || len(l.Series)+len(l.Damaged)+len(l.Unfinished) != 0 {
		t.Errorf("the failed backup left %+v, %v", l, err)
	}
}

// TestUnreadableBlock damages one block in the middle of a table.
func TestUnreadableBlock(t *testing.T) {
	for _, c := range []struct {
		name   string
		open   func(badger.Options) badger.Options
		bytes  int
		change func(byte) byte
		what   string
	}{
		{"garbage", plain, 512, func(byte) byte { return 0xff }, ".sst"},
		{"zeros", plain, 8192, func(byte) byte { return 0 }, ".sst"},
		{"one bit, checksums on", checksums, 1, flip, ".sst"},
		{"garbage, encrypted", encrypted, 512, func(old byte) byte { return old ^ 0x5a }, ".sst"},
		{"one bit, encrypted, checksums on", func(o badger.Options) badger.Options { return checksums(encrypted(o)) }, 1, flip, ".sst"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := c.open(sourceOptions(t.TempDir()))
			closedDB(t, o)
			file := glob(t, o.Dir, "*.sst")[0]
			overwrite(t, file, middle(t, file), c.bytes, c.change)
			d := backuptest.Open(t, false, o)
			wantUnreadable(t, d, c.what)
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestBadgerSkipsUnreadableBlocks shows the trap that iteratorErr is for: with
// a bad block in the middle of a table, Badger's iterator and its own backup
// lose the rest of that table and report nothing.
func TestBadgerSkipsUnreadableBlocks(t *testing.T) {
	t.Parallel()
	o := checksums(sourceOptions(t.TempDir()))
	closedDB(t, o)
	file := glob(t, o.Dir, "*.sst")[0]
	overwrite(t, file, middle(t, file), 1, flip)
	d := backuptest.Open(t, false, o)
	seen := len(backuptest.Read(t, d.DB))
	var stream bytes.Buffer
	_, err := d.DB.Backup(&stream, 0)
	t.Logf("%d of %d records are seen; DB.Backup wrote %d bytes and returned %v", seen, damagedKeys, stream.Len(), err)
	if seen > damagedKeys*3/4 || seen < damagedKeys/4 {
		t.Errorf("a plain iteration saw %d of %d records: the damage does not show the trap", seen, damagedKeys)
	}
	if err != nil {
		t.Errorf("DB.Backup reports the damage: %v", err)
	}
	wantUnreadable(t, d, filepath.Base(file))
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// TestTruncatedTable cuts a table under Badger's memory map: reading it is a
// fault that would end the process. The database is not closed after it: Badger
// leaves its level's lock held, and Close waits for that.
func TestTruncatedTable(t *testing.T) {
	t.Parallel()
	o := sourceOptions(t.TempDir())
	closedDB(t, o)
	d := backuptest.Open(t, false, o)
	file := glob(t, o.Dir, "*.sst")[0]
	if err := os.Truncate(file, middle(t, file)&^4095); err != nil {
		t.Fatal(err)
	}
	wantUnreadable(t, d, "mapped file")
	leaks.KnowThese()
}

// TestUnreadableValue damages the value log.
func TestUnreadableValue(t *testing.T) {
	for _, c := range []struct {
		name   string
		open   func(badger.Options) badger.Options
		opened bool // damaged while the database is open
		damage func(t *testing.T, dir string)
	}{
		{"file missing", plain, false, func(t *testing.T, dir string) {
			if err := os.Remove(glob(t, dir, "*.vlog")[0]); err != nil {
				t.Fatal(err)
			}
		}},
		{"file missing, encrypted", encrypted, false, func(t *testing.T, dir string) {
			if err := os.Remove(glob(t, dir, "*.vlog")[0]); err != nil {
				t.Fatal(err)
			}
		}},
		{"one bit of a value, checksums on", checksums, true, func(t *testing.T, dir string) {
			file := glob(t, dir, "*.vlog")[0]
			overwrite(t, file, middle(t, file), 1, flip)
		}},
		{"one bit of the newest file before it is opened", plain, false, func(t *testing.T, dir string) {
			// Badger cuts the newest file there when it opens it.
			file := glob(t, dir, "*.vlog")[0]
			overwrite(t, file, middle(t, file), 1, flip)
		}},
		{"a value's length in its header", plain, true, func(t *testing.T, dir string) {
			// After the file's header of 20 bytes: meta, user meta, key length
			// (one byte), value length (three bytes).
			overwrite(t, glob(t, dir, "*.vlog")[0], 20+3, 1, func(old byte) byte { return old ^ 2 })
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := c.open(sourceOptions(t.TempDir()))
			closedDB(t, o)
			if !c.opened {
				c.damage(t, o.Dir)
			}
			d := backuptest.Open(t, false, o)
			if c.opened {
				c.damage(t, o.Dir)
			}
			wantUnreadable(t, d, "value of key")
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
