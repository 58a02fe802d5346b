// Package backuptest has what the tests of backup and restore share: Badger
// databases, managed and not, with a model of their content beside them, and
// ways to compare databases.
package backuptest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/manifest"
)

// Entry is what a reader sees of a key.
type Entry struct {
	Value     string
	UserMeta  byte
	ExpiresAt uint64
}

// State is what a reader sees of a database.
type State map[string]Entry

// Clone returns a copy.
func (s State) Clone() State { return maps.Clone(s) }

// DB is a Badger database under test. Set, Delete and Churn keep Model up to
// date and are for one goroutine; Commit is for many.
type DB struct {
	*badger.DB
	Managed bool
	Model   State
	Source  backup.Source

	t     testing.TB
	clock clock // when managed
}

// SmallOptions make Badger write tables, fill levels and compact with little
// data.
func SmallOptions(dir string) badger.Options {
	return badger.DefaultOptions(dir).WithLogger(nil).WithMetricsEnabled(false).
		WithMemTableSize(256 << 10).WithBaseTableSize(64 << 10).WithBaseLevelSize(256 << 10).
		WithNumLevelZeroTables(1).WithNumLevelZeroTablesStall(3).WithNumCompactors(2).
		WithValueThreshold(1 << 10).WithValueLogFileSize(4 << 20).WithBlockCacheSize(4 << 20)
}

// New opens an empty database and a Source of it; both are closed with the
// test. change may be nil.
func New(t testing.TB, managed bool, change func(badger.Options) badger.Options) *DB {
	t.Helper()
	o := SmallOptions(t.TempDir())
	if change != nil {
		o = change(o)
	}
	d := Open(t, managed, o)
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// Open opens the database that o names, and a Source of it. The caller closes
// it.
func Open(t testing.TB, managed bool, o badger.Options) *DB {
	t.Helper()
	d := &DB{t: t, Managed: managed, Model: State{}}
	var err error
	if managed {
		d.DB, err = badger.OpenManaged(o)
	} else {
		d.DB, err = badger.Open(o)
	}
	if err != nil {
		t.Fatal(err)
	}
	if managed {
		d.clock.start(d.MaxVersion())
	}
	d.Source = d.NewSource()
	return d
}

// NewSource returns another Source of the database, as a new process would
// have it.
func (d *DB) NewSource() backup.Source {
	d.t.Helper()
	if !d.Managed {
		src, err := backup.Unmanaged(d.DB)
		if err != nil {
			d.t.Fatal(err)
		}
		return src
	}
	src, err := backup.Managed(d.DB, backup.ManagedOptions{
		Identity: Identity, ReadTs: d.clock.finished, Marker: d.marker})
	if err != nil {
		d.t.Fatal(err)
	}
	d.clock.onFinish(src.SetDiscardTs)
	return src
}

// Identity is the database id of every managed DB.
const Identity = "0123456789abcdef0123456789abcdef"

// MarkerKey is what a managed DB commits before each backup.
const MarkerKey = "~marker"

func (d *DB) marker(context.Context) (uint64, error) {
	ts, err := d.commit(func(txn *badger.Txn) error { return txn.Set([]byte(MarkerKey), nil) })
	d.clock.wait(ts)
	return ts, err
}

// Close releases the Source and closes the database.
func (d *DB) Close() error {
	if src, ok := d.Source.(*backup.UnmanagedSource); ok {
		src.Close()
	}
	return d.DB.Close()
}

// Commit commits what fn does. A conflict is tried again. In a managed DB it
// returns the commit's timestamp; commits may finish out of order.
func (d *DB) Commit(fn func(*badger.Txn) error) uint64 {
	d.t.Helper()
	for {
		ts, err := d.commit(fn)
		if errors.Is(err, badger.ErrConflict) {
			continue
		}
		if err != nil {
			d.t.Error(err)
		}
		return ts
	}
}

func (d *DB) commit(fn func(*badger.Txn) error) (uint64, error) {
	if !d.Managed {
		return 0, d.Update(fn)
	}
	readTs, ts := d.clock.begin()
	defer d.clock.end(ts)
	txn := d.NewTransactionAt(readTs, true)
	defer txn.Discard()
	if err := fn(txn); err != nil {
		return ts, err
	}
	return ts, txn.CommitAt(ts, nil)
}

// View reads at the newest moment.
func (d *DB) View(fn func(*badger.Txn) error) error {
	if !d.Managed {
		return d.DB.View(fn)
	}
	txn := d.NewTransactionAt(d.clock.finished(), false)
	defer txn.Discard()
	return fn(txn)
}

// Set commits one entry.
func (d *DB) Set(key string, e Entry) {
	d.t.Helper()
	d.Commit(func(txn *badger.Txn) error {
		entry := badger.NewEntry([]byte(key), []byte(e.Value)).WithMeta(e.UserMeta)
		entry.ExpiresAt = e.ExpiresAt
		return txn.SetEntry(entry)
	})
	d.Model[key] = e
}

// Delete commits the deletion of one key.
func (d *DB) Delete(key string) {
	d.t.Helper()
	d.Commit(func(txn *badger.Txn) error { return txn.Delete([]byte(key)) })
	delete(d.Model, key)
}

// Churn overwrites a few hundred keys until several memtables are full, and
// compacts everything, so that Badger drops what it may.
func (d *DB) Churn(r *rand.Rand) {
	d.t.Helper()
	const commits, entries, unique = 40, 20, 20
	padding := strings.Repeat("-", 700)
	for i := range commits {
		values := make([]string, entries)
		d.Commit(func(txn *badger.Txn) error {
			for j := range entries {
				values[j] = RandomText(r, unique) + padding
				if err := txn.Set(churnKey(i, j), []byte(values[j])); err != nil {
					return err
				}
			}
			return nil
		})
		for j, v := range values {
			d.Model[string(churnKey(i, j))] = Entry{Value: v}
		}
	}
	if err := d.Flatten(2); err != nil {
		d.t.Fatal(err)
	}
}

func churnKey(i, j int) []byte { return fmt.Appendf(nil, "churn/%03d/%02d", i, j) }

// RandomText returns text that compresses little.
func RandomText(r *rand.Rand, size int) string {
	b := make([]byte, 0, size+8)
	for len(b) < size {
		for bits := r.Uint64(); bits != 0; bits >>= 8 {
			b = append(b, 32+byte(bits)%95)
		}
	}
	return string(b[:size])
}

// Backup takes a backup; change may be nil.
func (d *DB) Backup(dst destination.Destination, change func(*backup.Backup)) *manifest.Manifest {
	d.t.Helper()
	m, err := d.Job(dst, change).Run(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	if d.Managed {
		d.Model[MarkerKey] = Entry{}
	}
	return m
}

// Job returns the backup that Backup takes.
func (d *DB) Job(dst destination.Destination, change func(*backup.Backup)) *backup.Backup {
	b := &backup.Backup{Source: d.Source, Destination: dst, ChunkBytes: 64 << 10, Workers: 2}
	if change != nil {
		change(b)
	}
	return b
}
