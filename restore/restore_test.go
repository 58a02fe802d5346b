package restore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/manifest"
	"github.com/brockdb/brock/ee"
	"github.com/brockdb/brock/restore"
)

// entry is what a reader sees of a key.
type entry struct {
	value     string
	userMeta  byte
	expiresAt uint64
}

type state map[string]entry

// testDB is a Badger database under test, managed or not, with a model beside.
type testDB struct {
	t       *testing.T
	db      *badger.DB
	managed bool
	ts      uint64 // last commit, when managed
	model   state
	source  backup.Source
	discard func(ts uint64)
}

func smallOptions(dir string) badger.Options {
	return badger.DefaultOptions(dir).WithLogger(nil).WithMemTableSize(1 << 20).WithBaseTableSize(256 << 10).
		WithNumLevelZeroTables(1).WithNumLevelZeroTablesStall(3).WithValueThreshold(1 << 10).
		WithNumCompactors(2).WithBlockCacheSize(4 << 20).WithMetricsEnabled(false)
}

func newTestDB(t *testing.T, managed bool) *testDB {
	t.Helper()
	d := &testDB{t: t, managed: managed, model: state{}}
	var err error
	if managed {
		d.db, err = badger.OpenManaged(smallOptions(t.TempDir()))
	} else {
		d.db, err = badger.Open(smallOptions(t.TempDir()))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.db.Close(); err != nil {
			t.Error(err)
		}
	})
	if managed {
		src, err := backup.Managed(d.db, backup.ManagedOptions{ReadTs: func() uint64 { return d.ts }, Marker: func(context.Context) (uint64, error) {
			d.commit(func(txn *badger.Txn) error { return txn.Set([]byte("~marker"), nil) })
			d.model["~marker"] = entry{}
			return d.ts, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		d.source, d.discard = src, src.SetDiscardTs
		return d
	}
	src, err := backup.Unmanaged(d.db)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(src.Close)
	d.source, d.discard = src, func(uint64) {}
	return d
}

func (d *testDB) commit(fn func(*badger.Txn) error) {
	d.t.Helper()
	var err error
	if d.managed {
		d.ts++
		txn := d.db.NewTransactionAt(d.ts, true)
		if err = fn(txn); err == nil {
			err = txn.CommitAt(d.ts, nil)
		}
		d.discard(d.ts)
	} else {
		err = d.db.Update(fn)
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *testDB) set(key string, e entry) {
	d.commit(func(txn *badger.Txn) error {
		be := badger.NewEntry([]byte(key), []byte(e.value)).WithMeta(e.userMeta)
		be.ExpiresAt = e.expiresAt
		return txn.SetEntry(be)
	})
	d.model[key] = e
}

func (d *testDB) delete(key string) {
	d.commit(func(txn *badger.Txn) error { return txn.Delete([]byte(key)) })
	delete(d.model, key)
}

// churn writes enough to make Badger compact, which drops what it may.
func (d *testDB) churn(r *rand.Rand) {
	junk := make([]byte, 700)
	for i := range 300 {
		d.commit(func(txn *badger.Txn) error {
			for j := range 20 {
				for k := range junk {
					junk[k] = byte(r.Uint32())
				}
				key := fmt.Sprintf("churn/%03d/%02d", i, j)
				d.model[key] = entry{value: string(junk)}
				if err := txn.Set([]byte(key), bytes.Clone(junk)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := d.db.Flatten(2); err != nil {
		d.t.Fatal(err)
	}
}

func (d *testDB) backup(dst destination.Destination, opts func(*backup.Backup)) *manifest.Manifest {
	d.t.Helper()
	b := &backup.Backup{Source: d.source, Destination: dst, ChunkBytes: 64 << 10, Workers: 2}
	if opts != nil {
		opts(b)
	}
	m, err := b.Run(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	return m
}

func clone(s state) state {
	c := make(state, len(s))
	for k, v := range s {
		c[k] = v
	}
	return c
}

// read returns all that can be read in a database.
func read(t *testing.T, db *badger.DB) state {
	t.Helper()
	out := state{}
	err := db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			item := it.Item()
			v, err := item.ValueCopy(nil)
			if err != nil {
				return err
			}
			out[string(item.KeyCopy(nil))] = entry{string(v), item.UserMeta(), item.ExpiresAt()}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func readDir(t *testing.T, dir string) state {
	t.Helper()
	db, err := badger.Open(badger.DefaultOptions(dir).WithLogger(nil))
	if err != nil {
		t.Fatal(err)
	}
	out := read(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return out
}

func equal(t *testing.T, what string, got, want state) {
	t.Helper()
	shown := 0
	report := func(format string, args ...any) {
		if shown++; shown <= 5 {
			t.Errorf(what+": "+format, args...)
		}
	}
	for k, w := range want {
		if g, ok := got[k]; !ok {
			report("key %q is missing", k)
		} else if g != w {
			report("key %q is %.60v, not %.60v", k, g, w)
		}
	}
	for k := range got {
		if _, ok := want[k]; !ok {
			report("key %q was invented", k)
		}
	}
	if shown > 5 {
		t.Errorf("%s: %d differences in all", what, shown)
	}
}

func openDir(t *testing.T, dir string) destination.Destination {
	t.Helper()
	d, err := destination.Open(t.Context(), dir, destination.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func testKey(t *testing.T, size int) ee.Key {
	t.Helper()
	key, err := ee.NewKey(bytes.Repeat([]byte{7}, size))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// restored restores backup num of the newest series with a sink and reads it.
func restored(t *testing.T, dst destination.Destination, num int, key ee.Key, kind restore.SinkKind) state {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "out")
	r := &restore.Restore{Source: dst, BackupNum: num, Key: key, Dir: dir, Workers: 2, Sink: kind}
	res, err := r.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Dirs) != 1 || res.Dirs[0] != filepath.Join(dir, "p1") {
		t.Fatalf("restored to %v", res.Dirs)
	}
	return readDir(t, res.Dirs[0])
}

// TestRandomHistory takes fulls and incrementals in a random history of puts,
// overwrites, deletes, expiries and compactions, and restores every one.
func TestRandomHistory(t *testing.T) {
	for _, managed := range []bool{true, false} {
		for _, keySize := range []int{0, 16, 24, 32} {
			t.Run(fmt.Sprintf("managed=%v,key=%d", managed, keySize), func(t *testing.T) {
				t.Parallel()
				var key ee.Key
				if keySize > 0 {
					key = testKey(t, keySize)
				}
				randomHistory(t, managed, key, rand.New(rand.NewPCG(uint64(keySize), 42)))
			})
		}
	}
}

func randomHistory(t *testing.T, managed bool, key ee.Key, r *rand.Rand) {
	d := newTestDB(t, managed)
	dst := openDir(t, t.TempDir())
	name := func() string { return fmt.Sprintf("k%04d", r.IntN(400)) }
	value := func() entry {
		size := r.IntN(200)
		if r.IntN(20) == 0 {
			size = 1<<10 + r.IntN(8<<10) // into the value log
		}
		v := make([]byte, size)
		for i := range v {
			v[i] = byte('a' + r.IntN(20))
		}
		e := entry{value: string(v), userMeta: byte(r.IntN(256))}
		if r.IntN(10) == 0 {
			e.expiresAt = 1<<33 + r.Uint64N(1000)
		}
		return e
	}
	type point struct {
		m     *manifest.Manifest
		state state
	}
	var points []point
	for step := range 400 {
		switch x := r.IntN(100); {
		case x < 60:
			d.set(name(), value())
		case x < 85:
			d.delete(name())
		case x < 87 && step%3 == 0:
			d.churn(r)
		case x < 94:
			m := d.backup(dst, func(b *backup.Backup) { b.Key, b.ForceFull = key, r.IntN(6) == 0 })
			points = append(points, point{m, clone(d.model)})
		}
	}
	points = append(points, point{d.backup(dst, func(b *backup.Backup) { b.Key = key }), clone(d.model)})
	incrementals := 0
	for i, p := range points {
		if p.m.Type == manifest.Incremental {
			incrementals++
		}
		dir := filepath.Join(t.TempDir(), "out")
		kind := restore.SinkStream
		if i%2 == 0 {
			kind = restore.SinkAuto
		}
		rs := &restore.Restore{Source: dst, BackupID: p.m.BackupID, BackupNum: p.m.BackupNum, Key: key, Dir: dir, Sink: kind}
		res, err := rs.Run(t.Context())
		if err != nil {
			t.Fatalf("%s (%s %d): %v", p.m.Path, p.m.BackupID, p.m.BackupNum, err)
		}
		equal(t, fmt.Sprintf("backup %d of %s", p.m.BackupNum, p.m.BackupID), readDir(t, res.Dirs[0]), p.state)
	}
	if incrementals < len(points)/3 {
		t.Errorf("only %d of %d backups were incremental", incrementals, len(points))
	}
}

// TestDeleteSurvivesCompaction is the trap that loses deletes: full, delete,
// heavy writes, compaction, incremental, restore.
func TestDeleteSurvivesCompaction(t *testing.T) {
	for _, managed := range []bool{true, false} {
		t.Run(fmt.Sprintf("managed=%v", managed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(1, 2))
			d := newTestDB(t, managed)
			dst := openDir(t, t.TempDir())
			for i := range 200 {
				d.set(fmt.Sprintf("k%05d", i), entry{value: "v"})
			}
			d.backup(dst, nil)
			d.delete("k00010")
			for range 4 {
				d.churn(r)
			}
			m := d.backup(dst, nil)
			if m.Type != manifest.Incremental {
				t.Fatalf("the second backup is %s: %s", m.Type, m.Reason)
			}
			equal(t, "restored", restored(t, dst, 2, ee.Key{}, restore.SinkAuto), d.model)
		})
	}
}

// TestWithoutPinDeletesAreLost proves that the test above can fail: Badger's
// own backups, which hold no pin, bring the key back.
func TestWithoutPinDeletesAreLost(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	d := newTestDB(t, false)
	for i := range 200 {
		d.set(fmt.Sprintf("k%05d", i), entry{value: "v"})
	}
	var full, inc bytes.Buffer
	since, err := d.db.Backup(&full, 0)
	if err != nil {
		t.Fatal(err)
	}
	d.delete("k00010")
	for range 4 {
		d.churn(r)
	}
	if _, err := d.db.Backup(&inc, since); err != nil {
		t.Fatal(err)
	}
	back, err := badger.Open(badger.DefaultOptions(t.TempDir()).WithLogger(nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(back.Load(&full, 16), back.Load(&inc, 16)); err != nil {
		t.Fatal(err)
	}
	if _, ok := read(t, back)["k00010"]; !ok {
		t.Error("Badger's own incremental kept the delete: the pin is not what keeps it in the test above")
	}
	if err := back.Close(); err != nil {
		t.Fatal(err)
	}
}
