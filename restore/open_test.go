package restore_test

import (
	"fmt"
	"strings"
	"testing"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/backuptest"
	"github.com/brockdb/brock/backup/destination/destinationtest"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
	"github.com/brockdb/brock/ee"
	"github.com/brockdb/brock/restore"
)

// TestRestoreIntoOpenDatabase fills an open, empty database, managed or not, and
// goes on writing to it.
func TestRestoreIntoOpenDatabase(t *testing.T) {
	t.Parallel()
	s := newSample(t, 32, 1)
	for _, managed := range []bool{true, false} {
		d := backuptest.New(t, managed, nil)
		if !managed { // the identity is a record
			if err := d.DropAll(); err != nil {
				t.Fatal(err)
			}
		}
		r := &restore.Restore{Source: s.dst, Keys: ee.NewKeyRing(s.key), DB: d.DB}
		res, err := r.Run(t.Context())
		if err != nil || res.Records == 0 || len(res.Dirs) != 0 {
			t.Fatalf("managed %v: %+v, %v", managed, res, err)
		}
		wantReadAt(t, d, res.Version, s.points[1].state)
		if _, err := r.Run(t.Context()); !fault.Is(err, fault.Exists) || fault.HintOf(err) == "" {
			t.Errorf("managed %v: into a database that is not empty: %v", managed, err)
		}
		wantReadAt(t, d, res.Version, s.points[1].state)
		if managed {
			continue // its timestamps are the test's own
		}
		d.Model = s.points[1].state.Clone()
		d.Set("after the restore", backuptest.Entry{Value: "v"})
		d.Delete("k000")
		backuptest.Equal(t, "after more commits", backuptest.Read(t, d.DB), d.Model)
	}
}

func wantReadAt(t *testing.T, d *backuptest.DB, ts uint64, want backuptest.State) {
	t.Helper()
	var txn *badger.Txn
	if d.Managed {
		txn = d.NewTransactionAt(ts, false)
	} else {
		txn = d.NewTransaction(false)
	}
	defer txn.Discard()
	backuptest.Equal(t, fmt.Sprintf("managed %v", d.Managed), backuptest.ReadTxn(t, txn), want)
}

// TestFailedRestoreIntoOpenDatabase: a restore that fails half-way leaves the
// database empty and usable.
func TestFailedRestoreIntoOpenDatabase(t *testing.T) {
	t.Parallel()
	source := backuptest.New(t, false, nil)
	for i := range 3000 {
		source.Set(fmt.Sprintf("k%04d", i), backuptest.Entry{Value: strings.Repeat("v", 900)})
	}
	inner := backuptest.OpenDir(t, t.TempDir())
	m := source.Backup(inner, func(b *backup.Backup) { b.ChunkBytes = 64 << 10 })
	db, err := badger.Open(backuptest.SmallOptions(t.TempDir()).WithBaseTableSize(4 << 10))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	faulty := destinationtest.NewFaulty(inner)
	faulty.Flip(m.Path+"/"+manifest.PartName(m.ReadTs, 1, 1), m.StoredBytes-10, 1) // in the last chunk
	for range 2 {
		_, err = (&restore.Restore{Source: faulty, DB: db}).Run(t.Context())
		if !fault.Is(err, fault.Corrupt) {
			t.Fatalf("got %v", err)
		}
		if left := len(backuptest.Read(t, db)); left != 0 || len(db.Tables()) != 0 {
			t.Errorf("%d records and %d tables are left", left, len(db.Tables()))
		}
	}
	faulty.Heal()
	if _, err = (&restore.Restore{Source: faulty, DB: db}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	backuptest.Equal(t, "restored", backuptest.Read(t, db), source.Model)
}

// TestRestoreIntoDatabaseWithSource empties a database that a Source holds a
// transaction of, and fills it again: Badger would end the process over that
// transaction.
func TestRestoreIntoDatabaseWithSource(t *testing.T) {
	t.Parallel()
	s := newSample(t, 0, 1)
	d := backuptest.New(t, false, nil)
	dst := backuptest.OpenDir(t, t.TempDir())
	d.Set("k", backuptest.Entry{Value: "v"})
	d.Backup(dst, nil)
	if err := d.DropAll(); err != nil {
		t.Fatal(err)
	}
	if _, err := (&restore.Restore{Source: s.dst, DB: d.DB}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.Model = s.points[1].state.Clone()
	m := d.Backup(dst, nil)
	if m.Type != manifest.Full || !strings.Contains(m.Reason, "emptied") {
		t.Errorf("the backup after that is %s: %s", m.Type, m.Reason)
	}
	wantRestored(t, dst, point{m, d.Model}, ee.Key{}, restore.SinkAuto)
}

// TestEmpty: an empty database, and an incremental without changes, which is
// tiny.
func TestEmpty(t *testing.T) {
	t.Parallel()
	for _, managed := range []bool{true, false} {
		for _, keySize := range []int{0, 32} {
			d := backuptest.New(t, managed, nil)
			if managed {
				d.Model[backuptest.MarkerKey] = backuptest.Entry{}
			}
			dir := t.TempDir()
			dst, key := backuptest.OpenDir(t, dir), backuptest.Key(t, keySize)
			change := func(b *backup.Backup) { b.Key = key }
			for i := range 3 {
				m := d.Backup(dst, change)
				var size int
				names := destinationtest.Names(t, dst, m.Path)
				for _, name := range names {
					size += len(destinationtest.Get(t, dst, name))
				}
				most := 2 // manifest and part list
				if managed {
					most = 3 // its marker is a record of the program's
				}
				if len(names) > most || size > 3000 || m.BackupNum != i+1 {
					t.Errorf("managed %v, key %d: number %d has %d bytes in %v", managed, keySize, m.BackupNum, size, names)
				}
				for _, kind := range []restore.SinkKind{restore.SinkTables, restore.SinkStream} {
					wantRestored(t, dst, point{m, d.Model}, key, kind)
				}
			}
			for _, level := range restore.Levels {
				report, err := (&restore.Verify{Source: dst, Keys: ee.NewKeyRing(key), Level: level}).Run(t.Context())
				if err != nil || !report.Good || report.Series[0].Backups != 3 {
					t.Errorf("verify %s: %+v, %v", level, report, err)
				}
			}
		}
	}
}

// TestRestoreUsage: what is refused before anything is looked at.
func TestRestoreUsage(t *testing.T) {
	t.Parallel()
	s := newSample(t, 0, 1)
	db := backuptest.New(t, false, nil).DB
	dir := t.TempDir()
	for i, r := range []restore.Restore{
		{Dir: dir}, {Source: s.dst}, {Source: s.dst, Dir: dir, DB: db}, {Source: s.dst, Dir: dir, Workers: -1},
	} {
		if _, err := r.Run(t.Context()); !fault.Is(err, fault.Usage) {
			t.Errorf("wrong use %d: %v", i, err)
		}
	}
	for _, c := range []struct {
		r    restore.Restore
		kind fault.Kind
	}{
		{restore.Restore{BackupID: "nosuch"}, fault.NotFound},
		{restore.Restore{BackupNum: 3}, fault.NotFound},
		{restore.Restore{BackupNum: -1}, fault.NotFound},
		{restore.Restore{Keys: ee.NewKeyRing(backuptest.Key(t, 32))}, fault.Mixed},
	} {
		c.r.Source, c.r.Dir = s.dst, dir
		if _, err := c.r.Run(t.Context()); !fault.Is(err, c.kind) || fault.HintOf(err) == "" {
			t.Errorf("%+v: %v", c.r, err)
		}
		wantNothingIn(t, dir)
	}
	encrypted := newSample(t, 32, 1)
	other, err := ee.NewKey([]byte("0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	for key, kind := range map[ee.Key]fault.Kind{{}: fault.KeyMissing, other: fault.WrongKey} {
		r := restore.Restore{Source: encrypted.dst, Dir: dir, Keys: ee.NewKeyRing(key)}
		if _, err := r.Run(t.Context()); !fault.Is(err, kind) || fault.HintOf(err) == "" {
			t.Errorf("want kind %v: %v", kind, err)
		}
		wantNothingIn(t, dir)
	}
	if _, err := (&restore.Restore{Source: backuptest.OpenDir(t, t.TempDir()), Dir: dir}).Run(t.Context()); !fault.Is(err, fault.NotFound) {
		t.Errorf("from an empty destination: %v", err)
	}
}
