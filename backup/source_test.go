package backup_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/backuptest"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
)

func newDestination(t testing.TB) destination.Destination {
	t.Helper()
	return backuptest.OpenDir(t, t.TempDir())
}

// wantType takes a backup and checks its type and, of a full, its reason.
func wantType(t *testing.T, d *backuptest.DB, dst destination.Destination, kind, reason string) *manifest.Manifest {
	t.Helper()
	m := d.Backup(dst, nil)
	if m.Type != kind || !strings.Contains(m.Reason, reason) {
		t.Fatalf("the backup is %s (%q), not %s (%q)", m.Type, m.Reason, kind, reason)
	}
	return m
}

// wantRefused takes a backup that must fail and leave nothing.
func wantRefused(t *testing.T, b *backup.Backup, kind fault.Kind, text string) {
	t.Helper()
	before, err := backup.List(t.Context(), b.Destination)
	if err != nil {
		t.Fatal(err)
	}
	m, err := b.Run(t.Context())
	if m != nil || !fault.Is(err, kind) || !strings.Contains(err.Error(), text) {
		t.Fatalf("got %+v and %v (%v), want kind %v and %q", m, err, fault.KindOf(err), kind, text)
	}
	after, err := backup.List(t.Context(), b.Destination)
	if err != nil || len(after.Series) != len(before.Series) || len(after.Unfinished) != 0 {
		t.Fatalf("before: %+v; after: %+v; %v", before, after, err)
	}
}

// TestSourceOfTheWrongKind: a managed database is no unmanaged one, nor the
// other way round, and a read-only one cannot hold an identity.
func TestSourceOfTheWrongKind(t *testing.T) {
	t.Parallel()
	unmanaged, managed := backuptest.New(t, false, nil), backuptest.New(t, true, nil)
	readTs := func() uint64 { return 1 }
	_, first := backup.Unmanaged(managed.DB)
	_, second := backup.Managed(unmanaged.DB, backup.ManagedOptions{ReadTs: readTs})
	_, third := backup.Managed(managed.DB, backup.ManagedOptions{})
	_, fourth := backup.Managed(managed.DB, backup.ManagedOptions{ReadTs: readTs, Identity: "no id"})
	for i, err := range []error{first, second, third, fourth} {
		if !fault.Is(err, fault.Usage) {
			t.Errorf("wrong use %d: %v", i, err)
		}
	}
}

// TestReadOnlyDatabase: unmanaged it is refused; managed it is backed up, empty
// or not.
func TestReadOnlyDatabase(t *testing.T) {
	t.Parallel()
	for _, records := range []int{0, 20} {
		o := backuptest.SmallOptions(t.TempDir())
		d := backuptest.Open(t, true, o)
		for i := range records {
			d.Set(fmt.Sprint("k", i), backuptest.Entry{Value: "v"})
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		db, err := badger.Open(o.WithReadOnly(true))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := backup.Unmanaged(db); !fault.Is(err, fault.Usage) || fault.HintOf(err) == "" {
			t.Errorf("an unmanaged read-only database: %v", err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if db, err = badger.OpenManaged(o.WithReadOnly(true)); err != nil {
			t.Fatal(err)
		}
		src, err := backup.Managed(db, backup.ManagedOptions{ReadTs: func() uint64 { return 100 }})
		if err != nil {
			t.Fatal(err)
		}
		m, err := (&backup.Backup{Source: src, Destination: newDestination(t)}).Run(t.Context())
		if err != nil || m.Records != int64(records) {
			t.Errorf("a managed read-only database of %d records: %+v, %v", records, m, err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestInMemoryDatabase backs up a database without files.
func TestInMemoryDatabase(t *testing.T) {
	t.Parallel()
	d := backuptest.New(t, false, func(o badger.Options) badger.Options { return o.WithInMemory(true).WithDir("").WithValueDir("") })
	dst := newDestination(t)
	d.Churn(rand.New(rand.NewPCG(1, 1)))
	if m := wantType(t, d, dst, manifest.Full, "no backup"); m.Records != int64(len(d.Model)) {
		t.Errorf("%d records, not %d", m.Records, len(d.Model))
	}
	d.Delete("churn/000/00")
	if m := wantType(t, d, dst, manifest.Incremental, ""); m.Records != 1 {
		t.Errorf("%d records, not 1", m.Records)
	}
}

// TestReservedKeys: a key that would not be backed up is an error, not a hole.
func TestReservedKeys(t *testing.T) {
	t.Parallel()
	d := backuptest.New(t, false, nil)
	dst := newDestination(t)
	d.Set("!brock!mine", backuptest.Entry{Value: "v"})
	wantRefused(t, d.Job(dst, nil), fault.Usage, "!brock!mine")
	d.Delete("!brock!mine")
	wantType(t, d, dst, manifest.Full, "no backup")
}

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

// TestCopiedDatabase: a copy of a database's directory has its identity, and
// must not extend its series.
func TestCopiedDatabase(t *testing.T) {
	t.Parallel()
	o := backuptest.SmallOptions(t.TempDir())
	d := backuptest.Open(t, false, o)
	d.Set("k", backuptest.Entry{Value: "v"})
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(o.Dir)); err != nil {
		t.Fatal(err)
	}
	dst := newDestination(t)
	original, copied := backuptest.Open(t, false, o), backuptest.Open(t, false, backuptest.SmallOptions(to))
	if original.Source.Identity() != copied.Source.Identity() {
		t.Error("the copy has another identity: nothing is shown")
	}
	wantType(t, original, dst, manifest.Full, "no backup")
	wantType(t, copied, dst, manifest.Full, "restarted")
	wantType(t, original, dst, manifest.Full, "not made by this process")
	wantType(t, original, dst, manifest.Incremental, "")
	for _, d := range []*backuptest.DB{original, copied} {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestTwoDestinations: each has a series and a pin of its own.
func TestTwoDestinations(t *testing.T) {
	t.Parallel()
	for _, managed := range []bool{true, false} {
		d := backuptest.New(t, managed, nil)
		a, b := newDestination(t), newDestination(t)
		for i := range 4 {
			d.Set(fmt.Sprint("k", i), backuptest.Entry{Value: "v"})
			kind, reason := manifest.Incremental, ""
			if i == 0 {
				kind, reason = manifest.Full, "no backup"
			}
			wantType(t, d, a, kind, reason)
			if i%2 == 0 {
				wantType(t, d, b, kind, reason)
			}
		}
	}
}

// TestSnapshotMustAdvance: a managed database without a marker has nothing new
// to back up at the same timestamp, and nothing to read below the discard
// timestamp.
func TestSnapshotMustAdvance(t *testing.T) {
	t.Parallel()
	db, err := badger.OpenManaged(backuptest.SmallOptions(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	ts := uint64(7)
	src, err := backup.Managed(db, backup.ManagedOptions{ReadTs: func() uint64 { return ts }})
	if err != nil {
		t.Fatal(err)
	}
	b := &backup.Backup{Source: src, Destination: newDestination(t)}
	if _, err := b.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, b, fault.Usage, "not above")
	ts-- // rolled back
	wantRefused(t, b, fault.Usage, "not above")
	ts = 0
	wantRefused(t, b, fault.Usage, "0 or below")
	ts, b.Destination = 5, newDestination(t)
	db.SetDiscardTs(6)
	wantRefused(t, b, fault.Usage, "below the discard timestamp 6")
}

// TestMarkerFails: what the program's marker says is what the backup says.
func TestMarkerFails(t *testing.T) {
	t.Parallel()
	d := backuptest.New(t, true, nil)
	src, err := backup.Managed(d.DB, backup.ManagedOptions{ReadTs: func() uint64 { return 1 },
		Marker: func(context.Context) (uint64, error) {
			return 0, fault.New(fault.NoSpace, "commit", "the disk is full")
		}})
	if err != nil {
		t.Fatal(err)
	}
	wantRefused(t, &backup.Backup{Source: src, Destination: newDestination(t)}, fault.NoSpace, "the disk is full")
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
	second, ok := d.NewSource().(*backup.ManagedSource)
	if !ok {
		t.Fatal("no managed source")
	}
	second.SetDiscardTs(1)
	d.Source = second
	wantType(t, d, newDestination(t), manifest.Full, "no backup")
}
