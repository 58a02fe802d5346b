package restore_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/backuptest"
	"github.com/brockdb/brock/backup/manifest"
	"github.com/brockdb/brock/ee"
	"github.com/brockdb/brock/restore"
)

// TestRandomHistory takes fulls and incrementals in a random history of puts,
// overwrites, deletes, expiries and compactions, and restores every one.
func TestRandomHistory(t *testing.T) {
	for _, c := range []struct {
		managed bool
		keySize int
	}{{true, 0}, {true, 16}, {false, 24}, {false, 32}} {
		t.Run(fmt.Sprintf("managed=%v,key=%d", c.managed, c.keySize), func(t *testing.T) {
			t.Parallel()
			randomHistory(t, c.managed, backuptest.Key(t, c.keySize), rand.New(rand.NewPCG(uint64(c.keySize), 42)))
		})
	}
}

func randomHistory(t *testing.T, managed bool, key ee.Key, r *rand.Rand) {
	d := backuptest.New(t, managed, nil)
	dst := backuptest.OpenDir(t, t.TempDir())
	var points []point
	take := func(full bool) {
		m := d.Backup(dst, func(b *backup.Backup) { b.Key, b.ForceFull = key, full })
		points = append(points, point{m, d.Model.Clone()})
	}
	for range 160 {
		name := fmt.Sprintf("k%04d", r.IntN(200))
		switch x := r.IntN(100); {
		case x < 62:
			d.Set(name, randomEntry(r))
		case x < 92:
			d.Delete(name)
		case x < 95:
			d.Churn(r)
		default:
			take(r.IntN(6) == 0)
		}
	}
	take(false)
	incrementals := 0
	for i, p := range points {
		if p.m.Type == manifest.Incremental {
			incrementals++
		}
		kind := restore.SinkStream
		if i%2 == 0 {
			kind = restore.SinkTables
		}
		wantRestored(t, dst, p, key, kind)
	}
	if incrementals < len(points)/3 {
		t.Errorf("only %d of %d backups were incremental", incrementals, len(points))
	}
}

func randomEntry(r *rand.Rand) backuptest.Entry {
	size := r.IntN(200)
	if r.IntN(20) == 0 {
		size = 1<<10 + r.IntN(8<<10) // into the value log
	}
	e := backuptest.Entry{Value: backuptest.RandomText(r, size), UserMeta: byte(r.IntN(256))}
	if r.IntN(10) == 0 {
		e.ExpiresAt = 1<<33 + r.Uint64N(1000)
	}
	return e
}

// TestDeleteSurvivesCompaction is the trap that loses deletes: full, delete,
// heavy writes, compaction, incremental, restore.
func TestDeleteSurvivesCompaction(t *testing.T) {
	for _, managed := range []bool{true, false} {
		t.Run(fmt.Sprintf("managed=%v", managed), func(t *testing.T) {
			t.Parallel()
			d := backuptest.New(t, managed, nil)
			dst := backuptest.OpenDir(t, t.TempDir())
			fillForDelete(d)
			d.Backup(dst, nil)
			deleteAndChurn(d)
			m := d.Backup(dst, nil)
			if m.Type != manifest.Incremental {
				t.Fatalf("the second backup is %s: %s", m.Type, m.Reason)
			}
			wantRestored(t, dst, point{m, d.Model}, ee.Key{}, restore.SinkAuto)
		})
	}
}

func fillForDelete(d *backuptest.DB) {
	for i := range 100 {
		d.Set(fmt.Sprintf("k%05d", i), backuptest.Entry{Value: "v"})
	}
}

func deleteAndChurn(d *backuptest.DB) {
	r := rand.New(rand.NewPCG(1, 2))
	d.Delete("k00010")
	for range 4 {
		d.Churn(r)
	}
}

// TestWithoutPinDeletesAreLost proves that the test above can fail: Badger's
// own backups, which hold no pin, bring the key back.
func TestWithoutPinDeletesAreLost(t *testing.T) {
	t.Parallel()
	d := backuptest.New(t, false, nil)
	fillForDelete(d)
	var full, inc bytes.Buffer
	since, err := d.DB.Backup(&full, 0)
	if err != nil {
		t.Fatal(err)
	}
	deleteAndChurn(d)
	if _, err := d.DB.Backup(&inc, since); err != nil {
		t.Fatal(err)
	}
	back, err := badger.Open(badger.DefaultOptions(t.TempDir()).WithLogger(nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(back.Load(&full, 16), back.Load(&inc, 16)); err != nil {
		t.Fatal(err)
	}
	if _, ok := backuptest.Read(t, back)["k00010"]; !ok {
		t.Error("Badger's own incremental kept the delete: the pin is not what keeps it in the test above")
	}
	if err := back.Close(); err != nil {
		t.Fatal(err)
	}
}
