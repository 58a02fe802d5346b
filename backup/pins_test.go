package backup_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/backuptest"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
)

// TestDropAll: an incremental cannot show that a database was emptied.
func TestDropAll(t *testing.T) {
	t.Parallel()
	d := backuptest.New(t, false, nil)
	dst := newDestination(t)
	d.Set("dropped", backuptest.Entry{Value: "v"})
	wantType(t, d, dst, manifest.Full, "no backup")
	if err := d.DropAll(); err != nil {
		t.Fatal(err)
	}
	d.Set("new", backuptest.Entry{Value: "v"})
	if m := wantType(t, d, dst, manifest.Full, "emptied"); m.Records != 1 {
		t.Errorf("the backup after DropAll has %d records", m.Records)
	}
	wantType(t, d, dst, manifest.Incremental, "")
}

// TestDropAllDuringBackup: half of the data is no backup.
func TestDropAllDuringBackup(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{manifest.Full, manifest.Incremental} {
		d := backuptest.New(t, false, nil)
		dst := newDestination(t)
		d.Set("k", backuptest.Entry{Value: "v"})
		if kind == manifest.Incremental {
			wantType(t, d, dst, manifest.Full, "no backup")
			d.Set("k", backuptest.Entry{Value: "w"})
		}
		hook := &backuptest.Hook{Destination: dst, BeforeCreate: func(name string) {
			if strings.HasSuffix(name, ".parts") {
				if err := d.DropAll(); err != nil {
					t.Error(err)
				}
			}
		}}
		wantRefused(t, d.Job(hook, nil), fault.Other, "emptied")
		wantType(t, d, dst, manifest.Full, "")
	}
}

// TestBannedNamespace: an incremental cannot show that a namespace was banned.
func TestBannedNamespace(t *testing.T) {
	t.Parallel()
	for _, managed := range []bool{true, false} {
		d := backuptest.New(t, managed, func(o badger.Options) badger.Options { return o.WithNamespaceOffset(0) })
		key := func(ns uint64) string { return string(binary.BigEndian.AppendUint64(nil, ns)) + "key" }
		dst := newDestination(t)
		for ns := range uint64(4) {
			d.Set(key(ns), backuptest.Entry{Value: "v"})
		}
		ban := func(ns uint64) {
			if err := d.BanNamespace(ns); err != nil {
				t.Error(err)
			}
		}
		full := wantType(t, d, dst, manifest.Full, "no backup")
		ban(1)
		if m := wantType(t, d, dst, manifest.Full, "banned"); m.Records != full.Records-1 {
			t.Errorf("the backup after a ban has %d records, before it %d", m.Records, full.Records)
		}
		d.Set(key(0), backuptest.Entry{Value: "w"})
		wantType(t, d, dst, manifest.Incremental, "")
		d.Set(key(0), backuptest.Entry{Value: "x"})
		during := &backuptest.Hook{Destination: dst, BeforeCreate: func(name string) {
			if strings.HasSuffix(name, ".parts") {
				ban(2)
			}
		}}
		wantRefused(t, d.Job(during, nil), fault.Other, "banned")
		wantType(t, d, dst, manifest.Full, "banned")
	}
}

// deletes counts the delete markers that are visible after since.
func deletes(t *testing.T, d *backuptest.DB, since uint64) (n int) {
	t.Helper()
	err := d.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{AllVersions: true, SinceTs: since})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			if it.Item().IsDeletedOrExpired() {
				n++
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestPinsEnd: deletes stay visible from the first backup on, until Close or
// Forget lets them go.
func TestPinsEnd(t *testing.T) {
	t.Parallel()
	for what, end := range map[string]func(d *backuptest.DB, dst destination.Destination){
		"Close of an unmanaged source": func(d *backuptest.DB, _ destination.Destination) { d.Source.(*backup.UnmanagedSource).Close() },
		"Forget of an unmanaged one": func(d *backuptest.DB, dst destination.Destination) {
			d.Source.(*backup.UnmanagedSource).Forget(dst.String())
		},
		"Forget of a managed one": func(d *backuptest.DB, dst destination.Destination) {
			d.Source.(*backup.ManagedSource).Forget(dst.String())
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			d := backuptest.New(t, strings.HasSuffix(what, "a managed one"), nil)
			dst := newDestination(t)
			r := rand.New(rand.NewPCG(1, 2))
			for i := range 50 {
				d.Set(fmt.Sprintf("k%03d", i), backuptest.Entry{Value: "v"})
			}
			full := d.Backup(dst, nil)
			d.Delete("k010")
			for range 3 {
				d.Churn(r)
			}
			if n := deletes(t, d, full.ReadTs); n != 1 {
				t.Fatalf("%d delete markers are visible while pinned", n)
			}
			end(d, dst)
			for range 4 {
				d.Churn(r)
			}
			if n := deletes(t, d, full.ReadTs); n != 0 {
				t.Errorf("%d delete markers are kept after the end", n)
			}
			d.Source = d.NewSource()
			wantType(t, d, dst, manifest.Full, "restarted")
		})
	}
}

// TestSourceClosedDuringBackup: nothing keeps deletes visible then, so there is
// no backup.
func TestSourceClosedDuringBackup(t *testing.T) {
	t.Parallel()
	d := backuptest.New(t, false, nil)
	dst := newDestination(t)
	d.Set("k", backuptest.Entry{Value: "v"})
	hook := &backuptest.Hook{Destination: dst, BeforeCreate: func(name string) {
		if strings.HasSuffix(name, ".backup") {
			d.Source.(*backup.UnmanagedSource).Close()
		}
	}}
	wantRefused(t, d.Job(hook, nil), fault.Other, "closed")
}

// TestDatabaseClosedDuringBackup: no panic gets out, and the error does not
// speak of damage.
func TestDatabaseClosedDuringBackup(t *testing.T) {
	t.Parallel()
	for _, managed := range []bool{true, false} {
		for _, at := range []string{"brock.lease/", ".backup", ".parts", manifest.FileName} {
			d := backuptest.Open(t, managed, backuptest.SmallOptions(t.TempDir()))
			d.Churn(rand.New(rand.NewPCG(1, 2)))
			closed := false
			hook := &backuptest.Hook{Destination: newDestination(t), BeforeCreate: func(name string) {
				if strings.Contains(name, at) && !closed {
					closed = true
					if err := d.DB.Close(); err != nil {
						t.Error(err)
					}
				}
			}}
			m, err := d.Job(hook, nil).Run(t.Context())
			switch {
			case err == nil && (at == ".parts" || at == manifest.FileName):
				// All was read by then.
			case m != nil || err == nil || fault.Is(err, fault.Corrupt):
				t.Errorf("closed at %s (managed: %v): %+v, %v", at, managed, m, err)
			case !strings.Contains(err.Error(), "closed") && !strings.Contains(err.Error(), "Closed"):
				t.Errorf("closed at %s (managed: %v): the error does not say so: %v", at, managed, err)
			}
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestDiscardTsSetPastTheSource: a program that calls DB.SetDiscardTs may have
// lost deletes, or what a snapshot reads.
func TestDiscardTsSetPastTheSource(t *testing.T) {
	t.Parallel()
	d := backuptest.New(t, true, nil)
	dst := newDestination(t)
	d.Set("k", backuptest.Entry{Value: "v"})
	m := wantType(t, d, dst, manifest.Full, "no backup")
	d.DB.SetDiscardTs(m.ReadTs + 1)
	wantType(t, d, dst, manifest.Full, "SetDiscardTs")
	m = wantType(t, d, dst, manifest.Incremental, "")
	d.Set("k", backuptest.Entry{Value: "w"})
	wantRefused(t, d.Job(once(dst, ".backup", func(string) { d.DB.SetDiscardTs(m.ReadTs + 1) }), nil), fault.Other, "its discard timestamp was set")
	wantType(t, d, dst, manifest.Full, "SetDiscardTs")
}

// TestSecondManagedSource: another source of the same database does not lower
// the discard timestamp, over which Badger ends the process.
func TestSecondManagedSource(t *testing.T) {
	t.Parallel()
	d := backuptest.New(t, true, nil)
	for i := range 5 {
		d.Set(fmt.Sprint(i), backuptest.Entry{Value: "v"})
	}
	last := d.Commit(func(txn *badger.Txn) error { return txn.Set([]byte("k"), nil) })
	second, err := backup.Managed(d.DB, backup.ManagedOptions{Identity: backuptest.Identity, ReadTs: func() uint64 { return last }})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 { // the first source raises it
		last = d.Commit(func(txn *badger.Txn) error { return txn.Set([]byte("k"), nil) })
	}
	second.SetDiscardTs(last - 1)
	d.Source = second
	wantType(t, d, newDestination(t), manifest.Full, "no backup")
}
