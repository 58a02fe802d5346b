package restore_test

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/backuptest"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/ee"
	"github.com/brockdb/brock/restore"
)

// aKey returns a key that fill tells from others.
func aKey(t testing.TB, fill byte) ee.Key {
	t.Helper()
	key, err := ee.NewKey(bytes.Repeat([]byte{fill}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestRotation: another key needs a new series; a ring of all keys reads all of
// them, each with its own.
func TestRotation(t *testing.T) {
	t.Parallel()
	d, dst := backuptest.New(t, true, nil), backuptest.OpenDir(t, t.TempDir())
	keys := []ee.Key{aKey(t, 1), aKey(t, 2), {}}
	var points []point
	for i, key := range keys {
		d.Set("round", backuptest.Entry{Value: strings.Repeat("x", i+1)})
		use := func(force bool) func(b *backup.Backup) {
			return func(b *backup.Backup) { b.Key, b.ForceFull = key, force }
		}
		if _, err := d.Job(dst, use(false)).Run(t.Context()); i > 0 && (!fault.Is(err, fault.Mixed) || !strings.Contains(fault.HintOf(err), "forceFull")) {
			t.Errorf("key %d: the series of another key was extended: %v", i, err)
		}
		points = append(points, point{d.Backup(dst, use(true)), d.Model.Clone()})
		d.Set("more", backuptest.Entry{Value: strings.Repeat("y", i+1)})
		points = append(points, point{d.Backup(dst, use(false)), d.Model.Clone()})
	}
	ring := ee.NewKeyRing(keys...)
	for _, p := range points {
		r := &restore.Restore{Source: dst, BackupID: p.m.BackupID, BackupNum: p.m.BackupNum, Keys: ring.OrPlain(), Dir: filepath.Join(t.TempDir(), "r")}
		res, err := r.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		backuptest.Equal(t, p.m.Path, backuptest.ReadDir(t, res.Dirs[0]), p.state)
		r.Keys, r.Dir = ring, filepath.Join(t.TempDir(), "strict")
		if _, err := r.Run(t.Context()); p.m.Encrypted != (err == nil) || err != nil && !fault.Is(err, fault.Mixed) {
			t.Errorf("%s (encrypted: %t) with keys alone: %v", p.m.Path, p.m.Encrypted, err)
		}
	}
	for _, level := range restore.Levels {
		if report, err := (&restore.Verify{Source: dst, Keys: ring.OrPlain(), Level: level}).Run(t.Context()); err != nil || len(report.Series) < 3 {
			t.Errorf("verify %s with all keys: %v", level, err)
		}
		if _, err := (&restore.Verify{Source: dst, Keys: ee.NewKeyRing(keys[0]).OrPlain(), Level: level}).Run(t.Context()); !fault.Is(err, fault.WrongKey) {
			t.Errorf("verify %s without the second key: %v", level, err)
		}
	}
}
