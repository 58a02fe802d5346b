package backup_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/backuptest"
	"github.com/brockdb/brock/backup/destination/destinationtest"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
	"github.com/brockdb/brock/ee"
)

// TestSeriesRules: what does not fit the newest series is refused at once and
// when it runs, with the way out, which works.
func TestSeriesRules(t *testing.T) {
	t.Parallel()
	encrypted := func(fill byte, size int) ee.Key {
		key, err := ee.NewKey(append(make([]byte, size-1), fill))
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	a, b := encrypted(1, 32), encrypted(2, 32)
	other := backuptest.New(t, false, nil)
	other.Set("k", backuptest.Entry{Value: "v"})
	for what, c := range map[string]struct {
		first, then func(*backup.Backup)
	}{
		"another database": {nil, func(j *backup.Backup) { j.Source = other.Source }},
		"no key":           {func(j *backup.Backup) { j.Key = a }, nil},
		"a key":            {nil, func(j *backup.Backup) { j.Key = a }},
		"another key":      {func(j *backup.Backup) { j.Key = a }, func(j *backup.Backup) { j.Key = b }},
		"another key size": {func(j *backup.Backup) { j.Key = a }, func(j *backup.Backup) { j.Key = encrypted(1, 16) }},
		"all versions":     {nil, func(j *backup.Backup) { j.AllVersions = true }},
		"another group":    {nil, func(j *backup.Backup) { j.Group = 2 }},
	} {
		d := backuptest.New(t, false, nil)
		dst := newDestination(t)
		d.Set("k", backuptest.Entry{Value: "v"})
		d.Backup(dst, c.first)
		job := d.Job(dst, c.then)
		if err := job.Check(t.Context()); !fault.Is(err, fault.Mixed) || fault.HintOf(err) == "" {
			t.Errorf("%s: Check says %v (%q)", what, err, fault.HintOf(err))
		}
		wantRefused(t, job, fault.Mixed, "")
		job.ForceFull = true
		if m, err := job.Run(t.Context()); err != nil || m.BackupNum != 1 || m.Reason == "" {
			t.Errorf("%s, forced: %+v, %v", what, m, err)
		}
		if names := destinationtest.Names(t, dst, ""); len(names) != 7 { // twice three and a lease
			t.Errorf("%s: there are %v", what, names)
		}
	}
}

// TestDamagedSeriesIsNotExtended: not when a manifest of it, or one that may be
// of it, is damaged; but a new series may begin.
func TestDamagedSeriesIsNotExtended(t *testing.T) {
	t.Parallel()
	for damaged := range 3 {
		d := backuptest.New(t, false, nil)
		dst := newDestination(t)
		var made []*manifest.Manifest
		for i := range 3 {
			d.Set(fmt.Sprint(i), backuptest.Entry{Value: "v"})
			made = append(made, d.Backup(dst, nil))
		}
		destinationtest.Put(t, dst, made[damaged].Path+"/"+manifest.FileName, []byte("{}"))
		wantRefused(t, d.Job(dst, nil), fault.Corrupt, "")
		if err := d.Job(dst, nil).Check(t.Context()); !fault.Is(err, fault.Corrupt) || fault.HintOf(err) == "" {
			t.Errorf("Check says %v (%q)", err, fault.HintOf(err))
		}
		m := d.Backup(dst, func(j *backup.Backup) { j.ForceFull = true })
		if next := d.Backup(dst, nil); next.BackupID != m.BackupID || next.BackupNum != 2 {
			t.Errorf("the backup after a forced full is number %d of %s: %s", next.BackupNum, next.BackupID, next.Reason)
		}
	}
}

// TestSinceIsExclusive: an incremental begins right after the backup before; no
// commit is in both, and none is in neither.
func TestSinceIsExclusive(t *testing.T) {
	t.Parallel()
	d := backuptest.New(t, true, nil)
	dst := newDestination(t)
	total := int64(0)
	var before *manifest.Manifest
	for i := range 10 {
		for j := range i {
			d.Set(fmt.Sprintf("%d/%d", i, j), backuptest.Entry{Value: "v"})
		}
		m := d.Backup(dst, nil)
		total += m.Records
		if m.Records != int64(i)+1 { // and the marker
			t.Errorf("backup %d has %d records, not %d", i, m.Records, i+1)
		}
		if before != nil && m.Since != before.ReadTs {
			t.Errorf("backup %d begins after %d, the one before ends at %d", i, m.Since, before.ReadTs)
		}
		before = m
	}
	if total != 45+10 {
		t.Errorf("%d records in all", total)
	}
}

// TestClockSetBack: folders sort in the order of the backups all the same.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	d := backuptest.New(t, false, nil)
	dst := newDestination(t)
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	last := ""
	for i, step := range []time.Duration{0, 0, -time.Hour, time.Nanosecond, -24 * 365 * time.Hour, 48 * time.Hour} {
		now = now.Add(step)
		m := d.Backup(dst, func(j *backup.Backup) { j.Now = func() time.Time { return now } })
		if m.Path <= last || m.BackupNum != i+1 {
			t.Errorf("backup %d is %s, number %d, after %s", i, m.Path, m.BackupNum, last)
		}
		last = m.Path
	}
}

// TestCheckLeavesNothing: neither a check that succeeds, nor one whose calls
// fail, nor one that died.
func TestCheckLeavesNothing(t *testing.T) {
	t.Parallel()
	d := backuptest.New(t, false, nil)
	dir := t.TempDir()
	inner := backuptest.OpenDir(t, dir)
	for n := 1; ; n++ {
		for _, late := range []bool{false, true} {
			faulty := destinationtest.NewFaulty(inner)
			faulty.Add(destinationtest.Rule{Nth: n, Late: late, Err: os.ErrPermission})
			err := d.Job(faulty, nil).Check(t.Context())
			made := faulty.Count(destinationtest.AnyOp)
			if names := destinationtest.Names(t, inner, ""); len(names) != 0 && !removeFailed(faulty) {
				t.Fatalf("call %d fails (late %v): %v is left after %v", n, late, names, err)
			} else if len(names) != 0 {
				if err := inner.Remove(t.Context(), names[0]); err != nil {
					t.Fatal(err)
				}
			}
			if err == nil && made < n {
				return
			}
			if err == nil {
				t.Fatalf("call %d of %d fails (late %v) and nobody cares: %v", n, made, late, faulty.Trace())
			}
		}
	}
}

func removeFailed(f *destinationtest.Faulty) bool {
	for _, c := range f.Trace() {
		if c.Op == destinationtest.OpRemove && c.Err != nil {
			return true
		}
	}
	return false
}

// TestOldProbesAreRemoved: those that processes left which died.
func TestOldProbesAreRemoved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	dst := backuptest.OpenDir(t, dir)
	d := backuptest.New(t, false, nil)
	for name, age := range map[string]time.Duration{"brock.probe-00": 48 * time.Hour, "brock.probe-11": 0, "brock.notes": 48 * time.Hour} {
		destinationtest.Put(t, dst, name, []byte("x"))
		then := time.Now().Add(-age)
		if err := os.Chtimes(filepath.Join(dir, name), then, then); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Job(dst, nil).Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if names := destinationtest.Names(t, dst, ""); len(names) != 2 || names[0] != "brock.notes" || names[1] != "brock.probe-11" {
		t.Errorf("left: %v", names)
	}
}

// TestManyBackups lists a destination with many, and adds one.
func TestManyBackups(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	dst := backuptest.OpenDir(t, dir)
	d := backuptest.New(t, false, nil)
	m := manyBackups(t, d, dir, 500)
	l, err := backup.List(t.Context(), dst)
	if err != nil || len(l.Series) != 500 {
		t.Fatalf("listed %d series, %v", len(l.Series), err)
	}
	if next := d.Backup(dst, nil); next.BackupID != m.BackupID || next.BackupNum != 2 {
		t.Errorf("the next backup is number %d of %s: %s", next.BackupNum, next.BackupID, next.Reason)
	}
}

// manyBackups takes a backup and makes n-1 manifests of older series beside it.
func manyBackups(t testing.TB, d *backuptest.DB, dir string, n int) *manifest.Manifest {
	t.Helper()
	dst := backuptest.OpenDir(t, dir)
	d.Set("k", backuptest.Entry{Value: "v"})
	m := d.Backup(dst, nil)
	content := destinationtest.Get(t, dst, m.Path+"/"+manifest.FileName)
	for i := range n - 1 {
		older, err := manifest.Decode(content, m.Path)
		if err != nil {
			t.Fatal(err)
		}
		started := m.CreatedAt.Add(-time.Duration(i+1) * time.Minute)
		older.Path, older.CreatedAt, older.BackupID = manifest.FolderName(started), started, fmt.Sprintf("%012x", i)
		data, err := older.Encode(ee.Key{})
		if err == nil {
			err = os.Mkdir(filepath.Join(dir, older.Path), 0o755)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, older.Path, manifest.FileName), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// BenchmarkList lists 10,000 backups.
func BenchmarkList(b *testing.B) {
	dir := b.TempDir()
	manyBackups(b, backuptest.New(b, false, nil), dir, 10_000)
	dst := backuptest.OpenDir(b, dir)
	for b.Loop() {
		if l, err := backup.List(b.Context(), dst); err != nil || len(l.Series) != 10_000 {
			b.Fatalf("listed %d series, %v", len(l.Series), err)
		}
	}
}
