package restore_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup"
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

// TestMergeOperator: operands on top of older operands, of a value and of a
// delete, over a full and an incremental.
func TestMergeOperator(t *testing.T) {
	t.Parallel()
	add := func(old, operand []byte) []byte {
		return binary.BigEndian.AppendUint64(nil, binary.BigEndian.Uint64(old)+binary.BigEndian.Uint64(operand))
	}
	number := func(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
	d := backuptest.New(t, false, nil)
	counters := []string{"operands", "compacted", "on a value", "on a delete"}
	bump := func(key string, by uint64) {
		// Badger's operator compacts what it finds when it is stopped; a long
		// interval and no stop leave the operands as they are.
		m := d.GetMergeOperator([]byte(key), add, time.Hour)
		if err := m.Add(number(by)); err != nil {
			t.Fatal(err)
		}
		if key == "compacted" {
			m.Stop()
		} else {
			t.Cleanup(m.Stop)
		}
	}
	d.Commit(func(txn *badger.Txn) error { return txn.Set([]byte("on a value"), number(1000)) })
	dst := backuptest.OpenDir(t, t.TempDir())
	var last *manifest.Manifest
	for round := range uint64(3) {
		if round == 1 {
			d.Commit(func(txn *badger.Txn) error { return txn.Delete([]byte("on a delete")) })
		}
		for _, key := range counters {
			for range 4 {
				bump(key, 10+round)
			}
		}
		d.Churn(rand.New(rand.NewPCG(1, round)))
		last = d.Backup(dst, nil)
	}
	want := map[string]uint64{"operands": 132, "compacted": 132, "on a value": 1132, "on a delete": 92}
	for _, kind := range []restore.SinkKind{restore.SinkTables, restore.SinkStream} {
		db, err := badger.Open(backuptest.ReadOptions(restoreTo(t, dst, last, ee.Key{}, kind)))
		if err != nil {
			t.Fatal(err)
		}
		for key, n := range want {
			m := db.GetMergeOperator([]byte(key), add, time.Hour)
			got, err := m.Get()
			if err != nil || !bytes.Equal(got, number(n)) {
				t.Errorf("counter %q is %x, not %x: %v", key, got, n, err)
			}
			m.Stop()
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestMergeOperatorCompactsDuringBackup: Badger's operator replaces the newest
// operand by the sum, at the same version, while a backup reads the operands.
func TestMergeOperatorCompactsDuringBackup(t *testing.T) {
	t.Parallel()
	for _, size := range []int{20, 2000} { // in the tables, in the value log
		d := backuptest.New(t, false, nil)
		join := func(old, operand []byte) []byte { return append(bytes.Clone(old), operand...) }
		d.Set("a", backuptest.Entry{Value: "the first to be read"})
		for i := range 3 {
			m := d.GetMergeOperator([]byte("merged"), join, time.Hour)
			if err := m.Add(bytes.Repeat([]byte{byte('a' + i)}, size)); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(m.Stop)
			d.Churn(rand.New(rand.NewPCG(1, uint64(i)))) // out of the memtable
		}
		m := d.GetMergeOperator([]byte("merged"), join, time.Hour)
		want, err := m.Get()
		if err != nil || len(want) != 3*size {
			t.Fatalf("%d bytes, %v", len(want), err)
		}
		dst := &backuptest.Hook{Destination: backuptest.OpenDir(t, t.TempDir()), BeforeCreate: func(name string) {
			if strings.HasSuffix(name, ".backup") {
				d.Churn(rand.New(rand.NewPCG(2, 1))) // a new memtable, which the scan does not have
				m.Stop()                             // compacts, in the background: the next commit comes after that
				d.Commit(func(txn *badger.Txn) error { return txn.Set([]byte("z"), nil) })
			}
		}}
		db, err := badger.Open(backuptest.ReadOptions(restoreTo(t, dst, d.Backup(dst, nil), ee.Key{}, restore.SinkAuto)))
		if err != nil {
			t.Fatal(err)
		}
		back := db.GetMergeOperator([]byte("merged"), join, time.Hour)
		if got, err := back.Get(); err != nil || !bytes.Equal(got, want) {
			t.Errorf("operands of %d bytes: %d bytes were restored, not %d: %v", size, len(got), len(want), err)
		}
		back.Stop()
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAllVersions: what was readable at an old timestamp is so after a restore.
func TestAllVersions(t *testing.T) {
	t.Parallel()
	db, err := badger.OpenManaged(backuptest.SmallOptions(t.TempDir()).WithNumVersionsToKeep(1 << 30))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	ts := uint64(0)
	src, err := backup.Managed(db, backup.ManagedOptions{ReadTs: func() uint64 { return ts }})
	if err != nil {
		t.Fatal(err)
	}
	dst := backuptest.OpenDir(t, t.TempDir())
	r := rand.New(rand.NewPCG(5, 6))
	model := backuptest.State{}
	at := map[uint64]backuptest.State{}
	var last *manifest.Manifest
	for ts < 120 {
		ts++
		txn := db.NewTransactionAt(ts, true)
		for range 5 {
			key := fmt.Sprintf("k%02d", r.IntN(30))
			if r.IntN(3) == 0 {
				err = txn.Delete([]byte(key))
				delete(model, key)
			} else {
				model[key] = backuptest.Entry{Value: fmt.Sprint(ts, " ", strings.Repeat("v", r.IntN(2000)))}
				err = txn.Set([]byte(key), []byte(model[key].Value))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := txn.CommitAt(ts, nil); err != nil {
			t.Fatal(err)
		}
		at[ts] = model.Clone()
		if ts%40 == 0 {
			b := &backup.Backup{Source: src, Destination: dst, AllVersions: true, ChunkBytes: 4 << 10}
			if last, err = b.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if last.BackupNum != 3 || !last.AllVersions {
		t.Fatalf("the last backup is %+v", last)
	}
	for _, kind := range []restore.SinkKind{restore.SinkTables, restore.SinkStream} {
		back, err := badger.OpenManaged(backuptest.ReadOptions(restoreTo(t, dst, last, ee.Key{}, kind)).WithNumVersionsToKeep(1 << 30))
		if err != nil {
			t.Fatal(err)
		}
		for ts := uint64(1); ts <= 120; ts += 7 {
			txn := back.NewTransactionAt(ts, false)
			backuptest.Equal(t, fmt.Sprint("at ", ts), backuptest.ReadTxn(t, txn), at[ts])
			txn.Discard()
		}
		if err := back.Close(); err != nil {
			t.Fatal(err)
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
	const keys = 6000
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
	full := point{d.Backup(dst, nil), d.Model.Clone()}
	parts, err := backup.ReadPartList(t.Context(), dst, full.m, 1, ee.Key{})
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
	wantRestored(t, dst, full, ee.Key{}, restore.SinkTables)
	wantRestored(t, dst, inc, ee.Key{}, restore.SinkStream)
	wantRestored(t, dst, inc, ee.Key{}, restore.SinkTables)
}
