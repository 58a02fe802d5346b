package store

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	badger "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/table"

	"github.com/brockdb/brock/backup/fault"
)

// tablesOf returns the ids of all tables that the MANIFEST names.
func tablesOf(t *testing.T, dir string) []uint64 {
	t.Helper()
	_, sets, err := readManifest(dir)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(maps.Keys(replay(sets, nil)))
}

// storeOfTables closes and opens a store so that it has so many tables of level 0.
func storeOfTables(t *testing.T, o Options, tables int) (want map[string]string) {
	t.Helper()
	want = map[string]string{}
	for n := range tables {
		s := openStore(t, o)
		for k := range 200 {
			key := fmt.Sprintf("%d/%d", n, k)
			want[key] = fmt.Sprintf("%q", strings.Repeat(key, 500))
			put(t, s, "c", key, want[key])
		}
		closeStore(t, s)
	}
	return want
}

// idle lets nothing be compacted but by Flatten.
func idle(o *badger.Options) {
	small(o)
	o.NumCompactors = 0
	o.NumLevelZeroTablesStall = 100
}

// TestLostTable keeps Badger from making one of the tables of a compaction, which
// it does not tell: the store fails, and all is there when it is opened again.
func TestLostTable(t *testing.T) {
	for _, all := range []bool{false, true} { // tables that cannot be made
		o := testOptions(t.TempDir())
		o.tune = func(b *badger.Options) { idle(b); b.BaseTableSize = 64 << 10; b.Compression = 0 }
		want := storeOfTables(t, o, 3)
		s := openStore(t, o)
		next := slices.Max(tablesOf(t, o.Dir)) + 1
		for id := next; id < next+200 && (all || id < next+1); id++ { // it makes files that are not there yet
			if err := os.WriteFile(table.NewFilename(id, o.Dir), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		err := s.db.Flatten(1)
		failed := s.Disk().Failed
		if err == nil || failed == nil || !strings.Contains(failed.Error(), "tables only") {
			t.Errorf("all %v: %v; the store says %v", all, err, failed)
		}
		if _, err := s.Propose(t.Context(), onePut("c", "k", "1")); err == nil {
			t.Errorf("all %v: it takes writes", all)
		}
		closeStore(t, s)
		s = openStore(t, o)
		if got := now(t, s, "c"); !maps.Equal(got, want) {
			t.Errorf("all %v: %d of %d records are there", all, len(got), len(want))
		}
		flatten(t, s)
		if got := now(t, s, "c"); !maps.Equal(got, want) {
			t.Errorf("all %v: after another compaction %d of %d records are there", all, len(got), len(want))
		}
	}
}

// TestGhosts writes into a MANIFEST what a change leaves that failed.
func TestGhosts(t *testing.T) {
	o := testOptions(t.TempDir())
	o.tune = idle
	want := storeOfTables(t, o, 3)
	real := tablesOf(t, o.Dir)
	create := func(id uint64, level uint32) *pb.ManifestChange {
		return &pb.ManifestChange{Op: pb.ManifestChange_CREATE, Id: id, Level: level, Compression: 1}
	}
	remove := func(id uint64) *pb.ManifestChange { return &pb.ManifestChange{Op: pb.ManifestChange_DELETE, Id: id} }
	acknowledged := func() uint64 { return 1 }
	for name, c := range map[string]struct {
		sets   []changeSet
		gone   []uint64 // files that are removed
		noted  bool
		refuse bool
	}{
		"a flush that was noted":             {sets: []changeSet{{create(90, 0)}}, noted: true},
		"a flush that was not":               {sets: []changeSet{{create(90, 0)}}, refuse: true},
		"a good table that was removed":      {gone: real[1:2], refuse: true},
		"a compaction":                       {sets: []changeSet{{create(90, 6), create(91, 6), remove(real[0]), remove(real[1])}}},
		"a compaction, tried again":          {sets: []changeSet{{create(90, 6), remove(real[0])}, {create(91, 6), remove(real[0])}}},
		"its inputs are gone":                {sets: []changeSet{{create(90, 6), remove(real[0])}}, gone: real[:1], refuse: true},
		"a table of level 6 out of thin air": {sets: []changeSet{{create(90, 6)}}, noted: true, refuse: true},
		"two new tables out of thin air":     {sets: []changeSet{{create(90, 0), create(91, 0)}}, noted: true, refuse: true},
	} {
		t.Run(name, func(t *testing.T) {
			o := o
			dir := filepath.Join(t.TempDir(), "d")
			if err := os.CopyFS(dir, os.DirFS(o.Dir)); err != nil {
				t.Fatal(err)
			}
			o.Dir = dir
			header, sets, err := readManifest(dir)
			if err != nil {
				t.Fatal(err)
			}
			writeSets(t, dir, header, append(sets, c.sets...))
			for _, id := range c.gone {
				if err := os.Remove(table.NewFilename(id, dir)); err != nil {
					t.Fatal(err)
				}
			}
			if c.noted {
				book := &ghostbook{dir: dir, acknowledged: acknowledged}
				if err := book.write(errors.New("a test")); err != nil {
					t.Fatal(err)
				}
			}
			before, err := os.ReadFile(filepath.Join(dir, "MANIFEST"))
			if err != nil {
				t.Fatal(err)
			}
			s, err := Open(o)
			if c.refuse {
				after, readErr := os.ReadFile(filepath.Join(dir, "MANIFEST"))
				if !fault.Is(err, fault.Corrupt) || !strings.Contains(fault.HintOf(err), "brock restore") || readErr != nil || !bytes.Equal(before, after) {
					t.Errorf("opened: %v, hint %q; changed: %v", err, fault.HintOf(err), !bytes.Equal(before, after))
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := now(t, s, "c"); !maps.Equal(got, want) {
				t.Errorf("%d of %d records are there", len(got), len(want))
			}
			closeStore(t, s)
			if _, err := os.Stat(filepath.Join(dir, ghostsName)); err == nil {
				t.Error("the note stays")
			}
			closeStore(t, openStore(t, o))
		})
	}
}

// TestMissingCommits opens a directory that lacks what a note says it has.
func TestMissingCommits(t *testing.T) {
	o := testOptions(t.TempDir())
	storeOfTables(t, o, 1)
	book := &ghostbook{dir: o.Dir, acknowledged: func() uint64 { return 1_000_000 }}
	if err := book.write(errors.New("a test")); err != nil {
		t.Fatal(err)
	}
	for range 2 { // it is not forgotten
		if _, err := Open(o); !fault.Is(err, fault.Corrupt) || !strings.Contains(err.Error(), "up to 1000000 were acknowledged") {
			t.Errorf("opened: %v", err)
		}
	}
}

// writeSets makes a MANIFEST of sets.
func writeSets(t *testing.T, dir string, header []byte, sets []changeSet) {
	t.Helper()
	text := slices.Clone(header)
	for _, set := range sets {
		body, err := set.encode()
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, body...)
	}
	if err := os.WriteFile(filepath.Join(dir, "MANIFEST"), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// FuzzManifest reads what may be a MANIFEST: it is read, or an error.
func FuzzManifest(f *testing.F) {
	set, err := changeSet{{Op: pb.ManifestChange_CREATE, Id: 1}, {Op: pb.ManifestChange_DELETE, Id: 1}}.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append([]byte("Bdgr\x00\x00\x00\x08"), set...))
	f.Add(append([]byte("Bdgr\x00\x00\x00\x08"), set[:len(set)-1]...))
	f.Add([]byte("Bdgr\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(filepath.Join(dir, "MANIFEST"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		_, sets, err := readManifest(dir)
		if err != nil {
			return
		}
		tables := replay(sets, nil)
		ghosts, err := missing(dir, tables)
		if err != nil || len(ghosts) != len(tables) {
			t.Errorf("%d of %d tables are missing, %v", len(ghosts), len(tables), err)
		}
		failedSets(sets, ghosts, new(ghostNote))
	})
}
