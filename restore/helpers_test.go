package restore_test

import (
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/backuptest"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/manifest"
	"github.com/brockdb/brock/ee"
	"github.com/brockdb/brock/restore"
)

// point is a backup and what the database held when it was taken.
type point struct {
	m     *manifest.Manifest
	state backuptest.State
}

// restoreTo restores a backup into a new directory and returns p1.
func restoreTo(t testing.TB, src destination.Destination, m *manifest.Manifest, key ee.Key, kind restore.SinkKind) string {
	t.Helper()
	r := &restore.Restore{Source: src, BackupID: m.BackupID, BackupNum: m.BackupNum, Keys: ee.NewKeyRing(key),
		Dir: filepath.Join(t.TempDir(), "out"), Workers: 2, Sink: kind}
	res, err := r.Run(t.Context())
	if err != nil {
		t.Fatalf("restore %s (number %d of %s): %v", m.Path, m.BackupNum, m.BackupID, err)
	}
	p1 := filepath.Join(r.Dir, "p1")
	if len(res.Dirs) != 1 || res.Dirs[0] != p1 || res.Version != m.ReadTs || res.BackupNum != m.BackupNum {
		t.Fatalf("the restore of %s says %+v", m.Path, res)
	}
	return p1
}

// wantRestored restores a backup and compares.
func wantRestored(t testing.TB, src destination.Destination, p point, key ee.Key, kind restore.SinkKind) {
	t.Helper()
	dir := restoreTo(t, src, p.m, key, kind)
	backuptest.Equal(t, p.m.Path+" restored", backuptest.ReadDir(t, dir), p.state)
}

// contentOf restores a backup into a database in memory and reads it.
func contentOf(t testing.TB, src destination.Destination, m *manifest.Manifest, key ee.Key) backuptest.State {
	t.Helper()
	db, err := badger.Open(backuptest.ReadOptions("").WithInMemory(true).
		WithMemTableSize(1 << 20).WithValueThreshold(64 << 10).WithBaseTableSize(16 << 10).WithBlockCacheSize(1 << 20))
	if err != nil {
		t.Fatal(err)
	}
	r := &restore.Restore{Source: src, BackupID: m.BackupID, BackupNum: m.BackupNum, Keys: ee.NewKeyRing(key), DB: db, Workers: 1}
	if _, err := r.Run(t.Context()); err != nil {
		t.Fatalf("restore %s into memory: %v", m.Path, err)
	}
	state := backuptest.Read(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return state
}

// objectsOf returns the names of the objects that the listed backups are made
// of, by the manifests and part lists.
func objectsOf(t testing.TB, d destination.Destination, l *backup.Listing, key ee.Key) []string {
	t.Helper()
	var names []string
	for _, s := range l.Series {
		for _, m := range s.Members {
			names = append(names, m.Path+"/"+manifest.FileName)
			for group, g := range m.Groups {
				names = append(names, m.Path+"/"+g.PartList.Name)
				list, err := backup.ReadPartList(t.Context(), d, m.Manifest, group, key)
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range list.Parts {
					names = append(names, m.Path+"/"+p.Name)
				}
			}
		}
	}
	slices.Sort(names)
	return names
}

func list(t testing.TB, d destination.Destination) *backup.Listing {
	t.Helper()
	l, err := backup.List(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// paths returns the folders of the backups in a listing.
func paths(l *backup.Listing) []string {
	var out []string
	for _, s := range l.Series {
		for _, m := range s.Members {
			out = append(out, m.Path)
		}
	}
	slices.Sort(out)
	return out
}

// filesIn returns every file below dir, hidden ones too, but for the lease's.
func filesIn(t testing.TB, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if !strings.HasPrefix(rel, "brock.lease") {
			names = append(names, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return names
}
