package restore_test

import (
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/backuptest"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/destination/destinationtest"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
	"github.com/brockdb/brock/ee"
	"github.com/brockdb/brock/restore"
)

// removeNewest takes the newest backup of a sample away, as somebody does who
// may write at the destination.
func (s *sample) removeNewest(t *testing.T) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(s.dir, s.points[len(s.points)-1].m.Path)); err != nil {
		t.Fatal(err)
	}
}

// digests returns the digests of the manifests of the series begun last.
func digests(t *testing.T, d destination.Destination) (all []string) {
	t.Helper()
	l, err := backup.List(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range l.Series[len(l.Series)-1].Members {
		all = append(all, m.Digest)
	}
	return all
}

// TestExpect: that the newest backup was removed cannot be seen at the
// destination; who knows its number or its digest notices.
func TestExpect(t *testing.T) {
	t.Parallel()
	for _, keySize := range []int{0, 32} {
		s := newSample(t, keySize, 1)
		known := digests(t, s.dst)
		ring := ee.NewKeyRing(s.key)
		run := func(e restore.Expect, num int) (restored, verified error) {
			dir := filepath.Join(t.TempDir(), "out")
			_, restored = (&restore.Restore{Source: s.dst, Keys: ring, Dir: dir, Expect: e, BackupNum: num}).Run(t.Context())
			_, verified = (&restore.Verify{Source: s.dst, Keys: ring, Expect: e, Level: restore.Quick}).Run(t.Context())
			return restored, verified
		}
		for _, e := range []restore.Expect{{BackupNum: 1}, {BackupNum: 2}, {Digest: known[0]}, {BackupNum: 2, Digest: strings.ToUpper(known[1])}} {
			for num := range 3 {
				if restored, verified := run(e, num); restored != nil || verified != nil {
					t.Errorf("number %d, %+v: %v, %v", num, e, restored, verified)
				}
			}
		}
		for _, e := range []restore.Expect{{BackupNum: -1}, {Digest: "abc"}, {Digest: strings.Repeat("g", 64)}} {
			if restored, verified := run(e, 0); !fault.Is(restored, fault.Usage) || !fault.Is(verified, fault.Usage) {
				t.Errorf("%+v: %v, %v", e, restored, verified)
			}
		}
		s.removeNewest(t)
		if restored, verified := run(restore.Expect{}, 0); restored != nil || verified != nil {
			t.Errorf("the newest backup is gone and nothing was expected: %v, %v", restored, verified)
		}
		for _, e := range []restore.Expect{{BackupNum: 2}, {Digest: known[1]}, {BackupNum: 1, Digest: known[1]}} {
			restored, verified := run(e, 0)
			if !fault.Is(restored, fault.Corrupt) || fault.HintOf(restored) == "" || !fault.Is(verified, fault.Corrupt) {
				t.Errorf("the newest backup is gone, %+v: %v, %v", e, restored, verified)
			}
		}
	}
}

// TestRolledBack: a database knows what it made; a destination that was set
// back is not extended.
func TestRolledBack(t *testing.T) {
	t.Parallel()
	for _, managed := range []bool{true, false} {
		d, dir := backuptest.New(t, managed, nil), t.TempDir()
		dst := backuptest.OpenDir(t, dir)
		use := func(b *backup.Backup) { b.Key = aKey(t, 1) }
		var made []*manifest.Manifest
		for range 3 {
			d.Set("k", backuptest.Entry{Value: "v"})
			made = append(made, d.Backup(dst, use))
		}
		if err := os.RemoveAll(filepath.Join(dir, made[2].Path)); err != nil {
			t.Fatal(err)
		}
		m := d.Backup(dst, use)
		if m.Type != manifest.Full || m.Reason == "" || m.BackupID == made[0].BackupID {
			t.Errorf("managed %t: after it was set back the series was extended: %+v", managed, m)
		}
	}
}

// TestDowngrade: who may write at the destination and has no key puts plain
// backups in the place of encrypted ones. With a key nothing of that is read.
func TestDowngrade(t *testing.T) {
	t.Parallel()
	s := newSample(t, 32, 1)
	forger := newSample(t, 0, 1)
	ring := ee.NewKeyRing(s.key)
	refused := func(what string, d destination.Destination, id string, kinds ...fault.Kind) {
		t.Helper()
		dir := filepath.Join(t.TempDir(), "out")
		_, err := (&restore.Restore{Source: d, Keys: ring, BackupID: id, Dir: dir}).Run(t.Context())
		if !slices.ContainsFunc(kinds, func(k fault.Kind) bool { return fault.Is(err, k) }) || fault.HintOf(err) == "" {
			t.Errorf("%s: restore: %v", what, err)
		}
		if _, err := (&restore.Verify{Source: d, Keys: ring, Level: restore.Quick}).Run(t.Context()); err == nil {
			t.Errorf("%s: verify finds nothing", what)
		}
		wantNothingIn(t, dir)
	}
	id := s.points[0].m.BackupID

	// The manifests say that they are plain, with the seal that fits.
	c := s.copy(t)
	for _, p := range s.points {
		m := *p.m
		m.Encrypted, m.KeyID = false, ""
		data, err := m.Encode(ee.Key{})
		if err != nil {
			t.Fatal(err)
		}
		destinationtest.Put(t, c.dst, path.Join(m.Path, manifest.FileName), data)
	}
	refused("plain manifests", c.dst, id, fault.Mixed, fault.Corrupt)

	// A plain series with the id of the encrypted one stands in its place, and
	// a plain one stands behind it.
	c = s.copy(t)
	for i, p := range forger.points {
		m := *p.m
		m.BackupID = id
		put(t, c.dst, forger, &m, s.points[i].m.Path)
	}
	refused("a plain series instead", c.dst, id, fault.Mixed, fault.Corrupt)
	c = s.copy(t)
	for _, p := range forger.points {
		put(t, c.dst, forger, p.m, p.m.Path)
	}
	refused("a plain series behind it", c.dst, "", fault.Mixed)
	if _, err := (&restore.Restore{Source: c.dst, Keys: ring, BackupID: id, Dir: filepath.Join(t.TempDir(), "out")}).Run(t.Context()); err != nil {
		t.Errorf("the encrypted series beside a plain one: %v", err)
	}

	// A backup of the forger's key continues the series.
	c = s.copy(t)
	own := aKey(t, 9)
	m := *s.points[1].m
	m.KeyID, m.BackupNum, m.Since, m.ReadTs = own.ID(), 3, m.ReadTs, m.ReadTs+1
	m.Parent, m.Path = digests(t, s.dst)[1], later(m.Path)
	m.Groups = map[uint32]*manifest.Group{1: {PartList: manifest.Object{
		Name: manifest.PartListName(m.ReadTs, 1), Bytes: 1, SHA256: strings.Repeat("0", 64)}}}
	m.Totals = manifest.Totals{}
	data, err := m.Encode(own)
	if err != nil {
		t.Fatal(err)
	}
	destinationtest.Put(t, c.dst, path.Join(m.Path, manifest.FileName), data)
	refused("a backup of another key", c.dst, "", fault.Corrupt, fault.WrongKey)
}

// put stores a backup of another sample under a manifest and a folder.
func put(t *testing.T, to destination.Destination, from *sample, m *manifest.Manifest, folder string) {
	t.Helper()
	old := *m
	for _, name := range destinationtest.Names(t, from.dst, old.Path) {
		destinationtest.Put(t, to, path.Join(folder, path.Base(name)), destinationtest.Get(t, from.dst, name))
	}
	old.Path = folder
	data, err := old.Encode(ee.Key{})
	if err != nil {
		t.Fatal(err)
	}
	destinationtest.Put(t, to, path.Join(folder, manifest.FileName), data)
}

// later returns a folder name that comes after all others.
func later(folder string) string {
	at, _ := manifest.FolderTime(folder)
	return manifest.FolderName(at.AddDate(1, 0, 0))
}

// TestSwappedGroupsAndSeries: what belongs to one group or series is not taken
// for another's, although key, names and sizes are right.
func TestSwappedGroupsAndSeries(t *testing.T) {
	t.Parallel()
	key := aKey(t, 1)
	dir := t.TempDir()
	dst := backuptest.OpenDir(t, dir)
	d := backuptest.New(t, true, nil)
	d.Set("k", backuptest.Entry{Value: "value"})
	first := twoGroups(t, d, dst, key, "brock.20260101.000000.000", "aaaa")
	second := twoGroups(t, d, dst, key, "brock.20260102.000000.000", "bbbb")
	ring := ee.NewKeyRing(key)
	try := func(what string) error {
		t.Helper()
		_, err := (&restore.Restore{Source: dst, Keys: ring, BackupID: "aaaa", Dir: filepath.Join(t.TempDir(), "out")}).Run(t.Context())
		if _, verr := (&restore.Verify{Source: dst, Keys: ring, Level: restore.Every, BackupID: "aaaa"}).Run(t.Context()); (verr == nil) != (err == nil) {
			t.Errorf("%s: restore: %v; verify: %v", what, err, verr)
		}
		return err
	}
	if err := try("untouched"); err != nil {
		t.Fatal(err)
	}
	a := destinationtest.Names(t, dst, first.Path)
	b := destinationtest.Names(t, dst, second.Path)
	named := func(names []string, group, ext string) string {
		for _, name := range names {
			if strings.Contains(name, "-"+group+".") && path.Ext(name) == ext {
				return name
			}
		}
		t.Fatalf("no %s of %s in %v", ext, group, names)
		return ""
	}
	for what, pair := range map[string][2]string{
		"part lists of two groups": {named(a, "g1", ".parts"), named(a, "g2", ".parts")},
		"parts of two groups":      {named(a, "g1", ".backup"), named(a, "g2", ".backup")},
		"part lists of two series": {named(a, "g1", ".parts"), named(b, "g1", ".parts")},
		"parts of two series":      {named(a, "g1", ".backup"), named(b, "g1", ".backup")},
		"manifests of two series":  {path.Join(first.Path, manifest.FileName), path.Join(second.Path, manifest.FileName)},
		"backups of two series":    {first.Path, second.Path},
	} {
		swap(t, dir, pair[0], pair[1])
		if err := try(what); !fault.Is(err, fault.Corrupt) && !fault.Is(err, fault.NotFound) {
			t.Errorf("%s swapped: %v", what, err)
		}
		swap(t, dir, pair[0], pair[1])
	}
	if err := try("put back"); err != nil {
		t.Fatal(err)
	}
}

// twoGroups stores a backup of two groups, both with what d holds.
func twoGroups(t *testing.T, d *backuptest.DB, dst destination.Destination, key ee.Key, folder, id string) *manifest.Manifest {
	t.Helper()
	snap, err := d.Source.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	at, _ := manifest.FolderTime(folder)
	m := &manifest.Manifest{Type: manifest.Full, ReadTs: snap.ReadTs, BackupID: id, BackupNum: 1, Path: folder, Encrypted: true,
		KeyID: key.ID(), Compression: manifest.CompressionGzip, Version: manifest.FormatVersion, DBID: d.Source.Identity(),
		CreatedAt: at, FinishedAt: at, Groups: map[uint32]*manifest.Group{}}
	for _, group := range []uint32{1, 2} {
		m.Groups[group], err = backup.RunGroup(t.Context(), backup.GroupRequest{Group: group, BackupID: id, Folder: folder, Snapshot: snap,
			Destination: dst, Key: key, ChunkBytes: 4 << 10, Workers: 1})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, group := range slices.Sorted(maps.Keys(m.Groups)) {
		m.Add(m.Groups[group].Totals)
	}
	data, err := m.Encode(key)
	if err != nil {
		t.Fatal(err)
	}
	destinationtest.Put(t, dst, path.Join(folder, manifest.FileName), data)
	return m
}

// swap exchanges two files or folders.
func swap(t *testing.T, dir, a, b string) {
	t.Helper()
	a, b = filepath.Join(dir, a), filepath.Join(dir, b)
	for _, move := range [][2]string{{a, a + "-"}, {b, a}, {a + "-", b}} {
		if err := os.Rename(move[0], move[1]); err != nil {
			t.Fatal(err)
		}
	}
}
