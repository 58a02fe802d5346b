package store

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func TestKeysRoundTrip(t *testing.T) {
	for _, ref := range []Ref{{"default", "cities"}, {"a", "b"}, {"日本", "都市"}, {"a b", "c d"}} {
		if got, ok := parseCatalogKey(catalogKey(ref)); !ok || got != ref {
			t.Errorf("catalog key of %v reads %v, %v", ref, got, ok)
		}
	}
	for _, key := range []string{"k", "\x00", "a\x00b", "/", "é", strings.Repeat("k", MaxKeyBytes)} {
		id, user, ok := parseRecordKey(recordKey(1<<40+7, key))
		if !ok || id != 1<<40+7 || string(user) != key {
			t.Errorf("record key of %q reads %d, %q, %v", quote(key), id, user, ok)
		}
		space, local, ok := parseLocalKey(localKey("task", key))
		if !ok || space != "task" || local != key {
			t.Errorf("local key of %q reads %q, %q, %v", quote(key), space, local, ok)
		}
	}
}

// TestKeysOrder: what docs/keyspace.md says about the order of keys.
func TestKeysOrder(t *testing.T) {
	ascending := [][]byte{
		counterKey(counterMaxUID), counterKey(counterNextID),
		afterNamespace(""),
		catalogKey(Ref{"a", "x"}), catalogKey(Ref{"a", "y"}),
		afterNamespace("a"),
		catalogKey(Ref{"a b", "a"}), catalogKey(Ref{"ab", "a"}),
		recordKey(1, "b"), recordKey(2, "a"), recordKey(2, "a\x00"), recordKey(2, "aa"),
		recordKey(255, "z"), recordKey(256, "a"),
		localKey("reap", "1"), localKey("series", "x"),
	}
	if !slices.IsSortedFunc(ascending, bytes.Compare) {
		t.Errorf("not ascending: %q", ascending)
	}
}

func TestForeignKeysAreNotParsed(t *testing.T) {
	for _, key := range []string{"", "\x01", "\x01\x00", "\x01a", "\x01a\x00", "\x01\x00next_id", "\x01a/b\x00c",
		"\x01a\x00b\x00c", "\x01\xff\x00a", "\x02", "\x02\x00\x00\x00\x00\x00\x00\x00\x01", "\xfftask", "\xfftask/", "\xffTASK/x",
		"!badger!txn", "\x03x"} {
		if ref, ok := parseCatalogKey([]byte(key)); ok {
			t.Errorf("%q is taken for catalog key of %v", key, ref)
		}
		if id, _, ok := parseRecordKey([]byte(key)); ok {
			t.Errorf("%q is taken for a record key of %d", key, id)
		}
		if space, _, ok := parseLocalKey([]byte(key)); ok {
			t.Errorf("%q is taken for a local key of %s", key, space)
		}
	}
}

func FuzzKeys(f *testing.F) {
	f.Add(catalogKey(Ref{"default", "cities"}))
	f.Add(counterKey(counterNextID))
	f.Add(recordKey(7, "0x2a"))
	f.Add(localKey("task", "0x2a"))
	f.Add([]byte("\x01a\x00b\x00c"))
	f.Fuzz(func(t *testing.T, key []byte) {
		kinds := 0
		if ref, ok := parseCatalogKey(key); ok {
			kinds++
			if !bytes.Equal(catalogKey(ref), key) {
				t.Errorf("%q parses to %v, which is another key", key, ref)
			}
		}
		if id, user, ok := parseRecordKey(key); ok {
			kinds++
			if !bytes.Equal(recordKey(id, string(user)), key) {
				t.Errorf("%q parses to record %d %q, which is another key", key, id, user)
			}
		}
		if space, local, ok := parseLocalKey(key); ok {
			kinds++
			if !bytes.Equal(localKey(space, local), key) {
				t.Errorf("%q parses to local %q %q, which is another key", key, space, local)
			}
		}
		if kinds > 1 {
			t.Errorf("%q is of %d kinds", key, kinds)
		}
	})
}
