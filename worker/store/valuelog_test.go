package store

import (
	"fmt"
	"testing"
)

// buriedStore returns a store with a value log file that is mostly garbage, in
// which k4 is deleted by a marker that is not compacted, and k5 is left.
func buriedStore(t *testing.T, o Options) *Store {
	t.Helper()
	s := openStore(t, o)
	for i := range 6 {
		put(t, s, "c", fmt.Sprint("k", i), string(bigValue(valueThreshold+i)))
	}
	s = reopenCompacted(t, s, o)
	remove(t, s, "c", "k0", "k1", "k2", "k3")
	s = reopenCompacted(t, s, o) // most of the file is garbage
	remove(t, s, "c", "k4")
	closeStore(t, s)
	s = openStore(t, o) // its marker is in a table, and not compacted
	return s
}

// TestValueLogBringsNothingBack: Badger rewrites a value that is deleted, while a
// table still has it, above its delete marker; when compaction drops the marker,
// the record is back.
func TestValueLogBringsNothingBack(t *testing.T) {
	t.Parallel()
	o := testOptions(t.TempDir())
	o.tune = idle
	s := buriedStore(t, o)
	files, err := s.RewriteValueLog(t.Context())
	if err != nil || files == 0 {
		t.Fatalf("%d files were rewritten, %v", files, err)
	}
	flatten(t, s)
	if got := now(t, s, "c"); len(got) != 1 || got["k5"] == "" {
		t.Errorf("there are %d records; k4 has %d bytes", len(got), len(got["k4"]))
	}
	s = reopenCompacted(t, s, o)
	if got := now(t, s, "c"); len(got) != 1 || got["k5"] == "" {
		t.Errorf("there are %d records after a restart; k4 has %d bytes", len(got), len(got["k4"]))
	}
}

// TestValueLogAfterACrash: a process that dies when values were written anew
// leaves it to the next one to delete those once more that are deleted.
func TestValueLogAfterACrash(t *testing.T) {
	t.Parallel()
	o := testOptions(t.TempDir())
	o.tune = idle
	s := buriedStore(t, o)
	_, _, err := s.submit(t.Context(), &prepared{local: []write{{localKey(spaceStore, keyRewriting), []byte("true")}}})
	if err == nil {
		err = s.db.RunValueLogGC(discardRatio)
	}
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, "c", "k3", "1") // deleted before, and there again
	s = reopenCompacted(t, s, o)
	if got := now(t, s, "c"); len(got) != 2 || got["k5"] == "" || got["k3"] != "1" {
		t.Errorf("there are %d records; k4 has %d bytes", len(got), len(got["k4"]))
	}
	if found, err := (reader{s.db.NewTransactionAt(s.MaxTs(), false)}).readMark(keyRewriting, new(bool)); found || err != nil {
		t.Errorf("the mark is left: %v", err)
	}
}
