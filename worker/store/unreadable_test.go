package store

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup/fault"
)

// damageTable flips a bit of a block somewhere in the one table of a closed
// store.
func damageTable(t *testing.T, dir string, part float64) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	data[int(part*float64(len(data)))] ^= 1
	if err := os.WriteFile(files[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func unreadableOptions(t *testing.T) Options {
	o := testOptions(t.TempDir())
	o.tune = func(b *badger.Options) { idle(b); b.MemTableSize = 16 << 20 }
	return o
}

// TestScanOfUnreadableBlock: Badger ends an iteration at a block that cannot be
// read as if it were the end, and so must not a scan or a count.
func TestScanOfUnreadableBlock(t *testing.T) {
	t.Parallel()
	o := unreadableOptions(t)
	s := openStore(t, o)
	var pairs []string
	for i := range 2000 {
		pairs = append(pairs, fmt.Sprintf("k%04d", i), fmt.Sprintf("%q", fmt.Sprintf("%0200x", i*i)))
	}
	put(t, s, "c", pairs...)
	closeStore(t, s)
	damageTable(t, o.Dir, 0.5)
	s = openStore(t, o)
	v := openView(t, s)
	defer v.Close()
	seen := 0
	err := v.Scan(t.Context(), "", "c", ScanOptions{}, func(string, []byte, uint64) error { seen++; return nil })
	if !fault.Is(err, fault.Corrupt) || fault.HintOf(err) == "" {
		t.Errorf("a scan showed %d of 2000 records and said %v", seen, err)
	}
	if n, err := v.Count(t.Context(), "", "c"); !fault.Is(err, fault.Corrupt) {
		t.Errorf("a count said %d, %v", n, err)
	}
	if counts, err := v.Counts(t.Context()); !fault.Is(err, fault.Corrupt) {
		t.Errorf("a count of all said %v, %v", counts, err)
	}
	lost := 0
	for i := range 2000 {
		_, _, err := v.Get("", "c", fmt.Sprintf("k%04d", i))
		if fault.Is(err, fault.Corrupt) {
			lost++
		} else if err != nil {
			t.Fatalf("of record %d it said %v", i, err)
		}
	}
	if _, _, err := v.Get("", "c", "k0000x"); !fault.Is(err, fault.NotFound) || lost == 0 {
		t.Errorf("%d records are in the block; of one that never was it said %v", lost, err)
	}
	put(t, s, "c", "z", "1") // in another table than the damage
	later := openView(t, s)
	defer later.Close()
	err = later.Scan(t.Context(), "", "c", ScanOptions{Limit: seen + 1}, func(string, []byte, uint64) error { return nil })
	if !fault.Is(err, fault.Corrupt) {
		t.Errorf("a page that ends after the damage: %v", err)
	}
	err = v.Scan(t.Context(), "", "c", ScanOptions{Limit: 5}, func(string, []byte, uint64) error { return nil })
	if err != nil {
		t.Errorf("a page before the damage: %v", err)
	}
}

// TestUnreadableCatalog: a store whose list of collections cannot be read as a
// whole is not opened: a put into one that is not seen would make it anew, and
// what it held would be lost.
func TestUnreadableCatalog(t *testing.T) {
	t.Parallel()
	o := unreadableOptions(t)
	s := openStore(t, o)
	b := &Batch{}
	for i := range 2000 {
		b.Creates = append(b.Creates, Create{Collection: fmt.Sprintf("c%04d", i), Schema: fmt.Appendf(nil, `{"x":%q}`, fmt.Sprintf("%0100x", i*i))})
	}
	propose(t, s, b)
	closeStore(t, s)
	damageTable(t, o.Dir, 0.5)
	s, err := Open(o)
	if !fault.Is(err, fault.Corrupt) || fault.HintOf(err) == "" {
		t.Errorf("opened: %v", err)
	}
	if err == nil {
		v := openView(t, s)
		all, err := v.Collections("")
		v.Close()
		t.Errorf("there are %d collections, %v", len(all), err)
		closeStore(t, s)
	}
}
