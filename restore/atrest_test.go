package restore_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/backuptest"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/ee"
	"github.com/brockdb/brock/restore"
)

// TestAtRest: an encrypted database is backed up and restored into directories
// that are encrypted with the same key, with another, and not at all. What is
// encrypted shows nothing of what is in it.
func TestAtRest(t *testing.T) {
	t.Parallel()
	const mark = "a value that must not be seen on the disk"
	source, other := aKey(t, 1), aKey(t, 2)
	for _, managed := range []bool{true, false} {
		d := backuptest.New(t, managed, source.AtRest)
		dst := backuptest.OpenDir(t, t.TempDir())
		r := rand.New(rand.NewPCG(3, 4))
		for i := range 200 {
			d.Set(fmt.Sprintf("k%03d", i), backuptest.Entry{Value: mark + backuptest.RandomText(r, 2000*(i%2))})
		}
		use := func(b *backup.Backup) { b.Key = other }
		d.Backup(dst, use)
		for i := range 50 {
			d.Set(fmt.Sprintf("k%03d", i), backuptest.Entry{Value: mark})
			d.Delete(fmt.Sprintf("k%03d", i+100))
		}
		last := point{d.Backup(dst, use), d.Model.Clone()}
		for _, atRest := range []ee.Key{source, other, {}} {
			dir := filepath.Join(t.TempDir(), "out")
			job := &restore.Restore{Source: dst, Keys: ee.NewKeyRing(other), Dir: dir, AtRest: atRest}
			res, err := job.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			db, err := badger.Open(atRest.AtRest(backuptest.ReadOptions(res.Dirs[0])))
			if err != nil {
				t.Fatal(err)
			}
			backuptest.Equal(t, fmt.Sprintf("managed %t, at rest %s", managed, atRest.ID()), backuptest.Read(t, db), last.state)
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			if seen := holds(t, res.Dirs[0], mark); seen != atRest.IsZero() {
				t.Errorf("at rest %s: the value can be seen: %t", atRest.ID(), seen)
			}
		}
		for _, level := range restore.Levels {
			v := &restore.Verify{Source: dst, Keys: ee.NewKeyRing(other), Level: level, AtRest: source}
			if _, err := v.Run(t.Context()); err != nil {
				t.Errorf("verify %s with an encrypted scratch directory: %v", level, err)
			}
		}
	}
}

// holds reports whether a file in dir has the text in it.
func holds(t *testing.T, dir, text string) bool {
	t.Helper()
	for _, name := range filesIn(t, dir) {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(content, []byte(text)) {
			return true
		}
	}
	return false
}

// TestAtRestRefusals: no key, another key, a key for a plain directory.
func TestAtRestRefusals(t *testing.T) {
	t.Parallel()
	a, b := aKey(t, 1), aKey(t, 2)
	dirs := map[string]ee.Key{t.TempDir(): a, t.TempDir(): {}}
	for dir, key := range dirs {
		db, err := badger.Open(key.AtRest(backuptest.ReadOptions(dir)))
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if err := key.CheckAtRest(dir); err != nil {
			t.Errorf("with the right key: %v", err)
		}
		for wrong, kind := range map[ee.Key]fault.Kind{{}: fault.KeyMissing, a: fault.WrongKey, b: fault.WrongKey} {
			if wrong == key {
				continue
			}
			if key.IsZero() {
				kind = fault.Mixed
			}
			if err := wrong.CheckAtRest(dir); !fault.Is(err, kind) || fault.HintOf(err) == "" || !strings.Contains(err.Error(), dir) {
				t.Errorf("made with %q, opened with %q: %v, want %v", key.ID(), wrong.ID(), err, kind)
			}
			if _, err := badger.Open(wrong.AtRest(backuptest.ReadOptions(dir))); err == nil {
				t.Errorf("made with %q, Badger opens it with %q", key.ID(), wrong.ID())
			}
		}
	}
	if err := a.CheckAtRest(t.TempDir()); err != nil {
		t.Errorf("an empty directory: %v", err)
	}
	if err := a.CheckAtRest(filepath.Join(t.TempDir(), "missing")); err != nil {
		t.Errorf("a missing directory: %v", err)
	}
	s := newSample(t, 0, 1)
	for _, r := range []restore.Restore{
		{Source: s.dst, AtRest: a, DB: backuptest.New(t, false, nil).DB},
		{Source: s.dst, AtRest: a, Dir: t.TempDir(), Sink: restore.SinkTables},
	} {
		if _, err := r.Run(t.Context()); !fault.Is(err, fault.Usage) {
			t.Errorf("%+v: %v", r, err)
		}
	}
}
