package backup_test

import (
	"context"
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
