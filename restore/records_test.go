package restore_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/archive"
	"github.com/brockdb/brock/backup/backuptest"
	"github.com/brockdb/brock/backup/manifest"
	"github.com/brockdb/brock/ee"
	"github.com/brockdb/brock/restore"
)

// roomyOptions take records as large as Badger's defaults do.
func roomyOptions(o badger.Options) badger.Options {
	return o.WithMemTableSize(64 << 20).WithValueLogFileSize(64 << 20)
}

// TestUnusualRecords has keys and values of every size and kind.
func TestUnusualRecords(t *testing.T) {
	t.Parallel()
	for _, large := range []bool{false, true} {
		d := backuptest.New(t, false, roomyOptions)
		threshold := int(d.Opts().ValueThreshold)
		values := []int{0, 1, 127, 128, threshold - 1, threshold, threshold + 1, 16383, 16384, 900 << 10}
		if large { // the tables sink does not take these
			values = append(values, 1<<20-1, 1<<20, 1<<20+1, 8<<20)
		}
		for i, size := range values {
			d.Set(fmt.Sprintf("value/%d", size), backuptest.Entry{Value: strings.Repeat("v", size), UserMeta: byte(i * 25)})
		}
		for _, key := range []string{"\x00", "\x00\x00", "\xff", "\xff\xff\xff", "a\x00", "a", "a\xff", "!badge", "!badger", "!brock", "é",
			strings.Repeat("k", 60_000), strings.Repeat("k", 60_000) + "\x00", strings.Repeat("\xff", 64_000)} {
			d.Set(key, backuptest.Entry{Value: "of " + key[:1], UserMeta: 0xff, ExpiresAt: 1 << 40})
		}
		dst := backuptest.OpenDir(t, t.TempDir())
		full := point{d.Backup(dst, nil), d.Model.Clone()}
		d.Set("value/0", backuptest.Entry{Value: "not empty any more"})
		d.Set("value/1", backuptest.Entry{})
		d.Delete("\xff\xff\xff")
		d.Delete(strings.Repeat("k", 60_000))
		inc := point{d.Backup(dst, nil), d.Model.Clone()}
		kind := restore.SinkTables
		if large {
			kind = restore.SinkAuto
		}
		wantRestored(t, dst, full, ee.Key{}, kind)
		wantRestored(t, dst, inc, ee.Key{}, kind)
		wantRestored(t, dst, inc, ee.Key{}, restore.SinkStream)
	}
}

// TestSinksAgree restores a history with both sinks: every version, mark and
// expiry is the same.
func TestSinksAgree(t *testing.T) {
	t.Parallel()
	for _, allVersions := range []bool{false, true} {
		d := backuptest.New(t, true, func(o badger.Options) badger.Options { return o.WithNumVersionsToKeep(1 << 30) })
		dst := backuptest.OpenDir(t, t.TempDir())
		r := rand.New(rand.NewPCG(3, 4))
		var last *manifest.Manifest
		for range 4 {
			for range 150 {
				key := fmt.Appendf(nil, "k%03d", r.IntN(100))
				d.Commit(func(txn *badger.Txn) error {
					if r.IntN(4) == 0 {
						return txn.Delete(key)
					}
					e := badger.NewEntry(key, []byte(backuptest.RandomText(r, 50))).WithMeta(byte(r.IntN(256)))
					switch r.IntN(6) {
					case 0:
						e.ExpiresAt = uint64(time.Now().Unix()) - 5
					case 1:
						e.ExpiresAt = 1 << 40
					case 2:
						e = e.WithDiscard()
					}
					return txn.SetEntry(e)
				})
			}
			last = d.Backup(dst, func(b *backup.Backup) { b.AllVersions = allVersions })
		}
		stream := backuptest.Records(t, restoreTo(t, dst, last, ee.Key{}, restore.SinkStream))
		tables := backuptest.Records(t, restoreTo(t, dst, last, ee.Key{}, restore.SinkTables))
		if a, b := backuptest.Digest(stream), backuptest.Digest(tables); a != b || len(stream) == 0 {
			t.Errorf("all versions %v: the StreamWriter made %s, the tables are %s", allVersions, a, b)
		}
	}
}

// TestExpired: a version that expires hides the older one that the full holds.
func TestExpired(t *testing.T) {
	t.Parallel()
	past := uint64(time.Now().Unix()) - 10
	for _, managed := range []bool{true, false} {
		d := backuptest.New(t, managed, nil)
		dst := backuptest.OpenDir(t, t.TempDir())
		d.Set("hidden", backuptest.Entry{Value: "old"})
		d.Set("kept", backuptest.Entry{Value: "v", ExpiresAt: 1 << 40})
		d.Set("gone before the full", backuptest.Entry{Value: "v", ExpiresAt: past})
		delete(d.Model, "gone before the full")
		full := point{d.Backup(dst, nil), d.Model.Clone()}
		d.Set("hidden", backuptest.Entry{Value: "new", ExpiresAt: past})
		delete(d.Model, "hidden")
		d.Churn(rand.New(rand.NewPCG(1, 1)))
		inc := point{d.Backup(dst, nil), d.Model.Clone()}
		for _, kind := range []restore.SinkKind{restore.SinkTables, restore.SinkStream} {
			wantRestored(t, dst, full, ee.Key{}, kind)
			wantRestored(t, dst, inc, ee.Key{}, kind)
		}
	}
}

// TestInternalKeysStayOut: what Badger keeps under "!badger!" and brock under
// "!brock!" is not restored, nor are banned namespaces.
func TestInternalKeysStayOut(t *testing.T) {
	t.Parallel()
	d := backuptest.New(t, false, func(o badger.Options) badger.Options { return o.WithNamespaceOffset(0) })
	namespaced := func(ns uint64, name string) string { return string(binary.BigEndian.AppendUint64(nil, ns)) + name }
	for _, ns := range []uint64{1, 2, 3} {
		d.Set(namespaced(ns, "key"), backuptest.Entry{Value: fmt.Sprint(ns)})
	}
	if err := d.BanNamespace(2); err != nil {
		t.Fatal(err)
	}
	delete(d.Model, namespaced(2, "key"))
	dst := backuptest.OpenDir(t, t.TempDir())
	m := d.Backup(dst, nil)
	dir := restoreTo(t, dst, m, ee.Key{}, restore.SinkAuto)
	backuptest.Equal(t, "restored", backuptest.ReadDir(t, dir), d.Model)
	db, err := badger.Open(backuptest.ReadOptions(dir))
	if err != nil {
		t.Fatal(err)
	}
	err = db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{InternalAccess: true, AllVersions: true})
		defer it.Close()
		for it.Seek([]byte("!")); it.ValidForPrefix([]byte("!")); it.Next() {
			t.Errorf("key %q was restored", it.Item().Key())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestManyRanges has enough data for several parts; then keys at and around
// their borders change.
func TestManyRanges(t *testing.T) {
	t.Parallel()
	d := backuptest.New(t, false, func(o badger.Options) badger.Options {
		return o.WithMemTableSize(4 << 20).WithBaseTableSize(1 << 20).WithBaseLevelSize(4 << 20).WithValueThreshold(8 << 10)
	})
	const keys = 3600
	filler := strings.Repeat("0123456789", 500)
	for i := 0; i < keys; i += 40 {
		d.Commit(func(txn *badger.Txn) error {
			for j := i; j < i+40; j++ {
				key, value := fmt.Sprintf("k%06d", j*7919%keys), fmt.Sprint(j, " ", filler)
				d.Model[key] = backuptest.Entry{Value: value}
				if err := txn.Set([]byte(key), []byte(value)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := d.Flatten(2); err != nil {
		t.Fatal(err)
	}
	dst := backuptest.OpenDir(t, t.TempDir())
	// How many tables Badger has by now is its own affair.
	small := func(b *backup.Backup) { b.Level, b.PartBytes = archive.NoCompression, 1<<20 }
	parts, err := backup.ReadPartList(t.Context(), dst, d.Backup(dst, small), 1, ee.Key{})
	if err != nil || len(parts.Parts) < 2 {
		t.Fatalf("there are %d parts, %v", len(parts.Parts), err)
	}
	for _, p := range parts.Parts {
		d.Delete(string(p.LastKey))
		d.Delete(string(p.FirstKey))
		d.Set(string(p.FirstKey)+"\x00", backuptest.Entry{Value: "after the first"})
		d.Set(string(p.LastKey)+"\x00", backuptest.Entry{Value: "between two parts"})
		d.Set(string(p.LastKey[:len(p.LastKey)-1]), backuptest.Entry{Value: "before the last"})
	}
	inc := point{d.Backup(dst, nil), d.Model.Clone()}
	wantRestored(t, dst, inc, ee.Key{}, restore.SinkStream)
	wantRestored(t, dst, inc, ee.Key{}, restore.SinkTables)
}
