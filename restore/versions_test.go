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
