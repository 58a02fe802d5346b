package store

import (
	"errors"
	"math"
	"strings"
	"testing"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup/fault"
)

// liveKeys calls fn for everything a backup at this moment would hold, and for
// the local records it would not.
func liveKeys(t testing.TB, s *Store, fn func(key, value []byte)) {
	t.Helper()
	txn := s.db.NewTransactionAt(math.MaxUint64, false)
	defer txn.Discard()
	err := reader{txn}.scan(nil, nil, func(item *badger.Item) error {
		value, err := item.ValueCopy(nil)
		fn(item.KeyCopy(nil), value)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestRestoredDirectory makes a directory as restore does: catalog and kept
// records at their own versions, marks at the restore's version.
func TestRestoredDirectory(t *testing.T) {
	o := testOptions(t.TempDir())
	o.reapDelay = 1 << 60
	s := openStore(t, o)
	put(t, s, "cities", "a", `"A"`, "", `"of uid 1"`)
	put(t, s, "gone", "a", "1")
	gone := lookup(t, s, "gone").ID
	propose(t, s, &Batch{Drops: []Ref{{"", "gone"}}})
	backUp(t, s, "/b", "x", 1)
	readTs, maxUID := s.MaxTs()+100, uint64(41)

	catalog := NewCatalog()
	var all []Record
	liveKeys(t, s, func(key, value []byte) {
		all = append(all, Record{key, value})
		if IsCatalogKey(key) {
			if err := catalog.Observe(key, value); err != nil {
				t.Error(err)
			}
		}
	})
	if catalog.MaxUID() != 1 {
		t.Errorf("max uid %d", catalog.MaxUID())
	}
	id := lookup(t, s, "cities").ID
	if ns, name, ok := catalog.Name(id); ns != "default" || name != "cities" || !ok {
		t.Errorf("collection %d is %s/%s, %v", id, ns, name, ok)
	}
	if _, _, ok := catalog.Name(gone); ok || catalog.Keep(recordKey(gone, "a")) || catalog.Keep([]byte("other")) {
		t.Error("the dropped collection, or a foreign key, is kept")
	}
	marks, err := RestoreMarks(3, readTs, maxUID)
	if err != nil {
		t.Fatal(err)
	}

	restored := testOptions(t.TempDir())
	db, err := badger.OpenManaged(badger.DefaultOptions(restored.Dir).WithLogger(nil))
	if err != nil {
		t.Fatal(err)
	}
	write := func(records []Record, version uint64) error {
		txn := db.NewTransactionAt(math.MaxUint64, true)
		for _, r := range records {
			if err := txn.Set(r.Key, r.Value); err != nil {
				return err
			}
		}
		return txn.CommitAt(version, nil)
	}
	var kept []Record
	for _, r := range all {
		if catalog.Keep(r.Key) {
			kept = append(kept, r)
		}
	}
	if err := errors.Join(write(kept, 5), write(marks, readTs), db.Close()); err != nil {
		t.Fatal(err)
	}

	var wrong *GroupError
	if _, err := Open(restored); !errors.As(err, &wrong) || wrong.Have != 3 {
		t.Errorf("opened as group 1: %v", err)
	}
	restored.Group = 3
	r := openStore(t, restored)
	if r.ID() == s.ID() || r.Group() != 3 || r.MaxTs() != readTs || r.MaxUID() != maxUID {
		t.Errorf("restored: id %s, group %d, ts %d, uid %d", r.ID(), r.Group(), r.MaxTs(), r.MaxUID())
	}
	if got := now(t, r, "cities"); len(got) != 2 || got["0x1"] != `"of uid 1"` {
		t.Errorf("restored records: %v", got)
	}
	if len(r.Pins()) != 0 {
		t.Errorf("restored pins: %v", r.Pins())
	}
	b := &Batch{Puts: []Put{{Collection: "new", Value: []byte("1")}}}
	if ts := propose(t, r, b); ts != readTs+1 || b.Puts[0].Key != "0x2a" {
		t.Errorf("after the restore: committed at %d with key %s", ts, b.Puts[0].Key)
	}
	if c := lookup(t, r, "new"); c.ID <= gone {
		t.Errorf("a new collection has id %d; %d was used", c.ID, gone)
	}
}

func TestRestoreMarksRefuses(t *testing.T) {
	for _, c := range []struct {
		group  uint32
		readTs uint64
	}{{0, 1}, {1, 0}} {
		if _, err := RestoreMarks(c.group, c.readTs, 0); !fault.Is(err, fault.Usage) {
			t.Errorf("group %d at %d: %v", c.group, c.readTs, err)
		}
	}
}

func TestCatalogRefusesDamage(t *testing.T) {
	for _, c := range []struct{ key, value, want string }{
		{"\x02abc", "1", "not of the catalog"},
		{"\x01abc", "{}", "names no collection"},
		{"\x01a/b\x00c", `{"id":1}`, "names no collection"},
		{"\x01a\x00b", `{`, "a/b"},
		{"\x01a\x00b", `{"created_ts":1}`, "no collection id"},
		{"\x01a\x00b", `{"id":-1}`, "a/b"},
		{"\x01other\x00b", `{"id":7}`, "same id"},
		{"\x01\x00max_uid", `"x"`, "max_uid"},
	} {
		catalog := NewCatalog()
		if err := catalog.Observe([]byte("\x01n\x00c"), []byte(`{"id":7,"created_ts":1}`)); err != nil {
			t.Fatal(err)
		}
		err := catalog.Observe([]byte(c.key), []byte(c.value))
		if !fault.Is(err, fault.Corrupt) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %q", c.key, err, c.want)
		}
	}
}

func FuzzCatalog(f *testing.F) {
	f.Add(catalogKey(Ref{"default", "cities"}), encodeCatalogRecord(catalogRecord{7, []byte(`{"a":"<>"}`), 3, stateRestoring}))
	f.Add(counterKey(counterMaxUID), []byte("42"))
	f.Add(counterKey(counterNextID), []byte("-1"))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		if err := NewCatalog().Observe(key, value); err != nil && !fault.Is(err, fault.Corrupt) {
			t.Errorf("%q: error of kind %v", key, fault.KindOf(err))
		}
		c, ok, err := decodeCollection(key, value)
		if err != nil || !ok {
			return
		}
		again, ok, err := decodeCollection(key, encodeCatalogRecord(catalogRecord{c.ID, c.Schema, c.CreatedTs, ""}))
		if err != nil || !ok || again.ID != c.ID || again.CreatedTs != c.CreatedTs || string(again.Schema) != string(c.Schema) {
			t.Errorf("%+v became %+v: %v", c, again, err)
		}
	})
}
