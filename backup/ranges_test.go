package backup

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup/archive"
)

// TestAnyCutsCoverAllKeysOnce scans a database in ranges cut at any keys: at its
// own, between them, at bytes 0x00 and 0xff, twice at one, out of order; all of
// it, what changed lately, and nothing.
func TestAnyCutsCoverAllKeysOnce(t *testing.T) {
	db, err := badger.Open(badger.DefaultOptions("").WithInMemory(true).WithLogger(nil).WithMemTableSize(1 << 20).WithValueThreshold(1 << 10))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	r := rand.New(rand.NewPCG(1, 2))
	randomKey := func() []byte {
		key := make([]byte, 1+r.IntN(4))
		for i := range key {
			key[i] = []byte{0, 1, 'a', 'b', 0xfe, 0xff}[r.IntN(6)]
		}
		return key
	}
	for i := range 300 {
		err := db.Update(func(txn *badger.Txn) error { return txn.Set(randomKey(), fmt.Append(nil, i)) })
		if err != nil {
			t.Fatal(err)
		}
	}
	txn := db.NewTransaction(false)
	defer txn.Discard()
	snap := &Snapshot{DB: db, Txn: txn, ReadTs: txn.ReadTs()}
	scans := []rangeScan{{since: 0}, {since: snap.ReadTs - 40}, {since: snap.ReadTs}, {0, true}, {snap.ReadTs - 40, true}, {snap.ReadTs, true}}
	wants := make([][][]byte, len(scans))
	for i, scan := range scans {
		wants[i] = scan.all(t, snap, []keyRange{{}})
		if n, changed := len(wants[i]), scan.since == snap.ReadTs-40; n < 100 && scan.since == 0 || changed && (n < 10 || n > 40) || n > 0 && scan.since == snap.ReadTs {
			t.Fatalf("%+v: %d keys", scan, n)
		}
	}
	for i := range 600 {
		scan, want := scans[i%len(scans)], wants[i%len(scans)]
		var cuts [][]byte
		for range r.IntN(12) {
			switch r.IntN(3) {
			case 0:
				cuts = append(cuts, randomKey())
			case 1:
				cuts = append(cuts, bytes.Clone(wants[0][r.IntN(len(wants[0]))]))
			default:
				cuts = append(cuts, nil)
			}
		}
		if r.IntN(4) != 0 {
			slices.SortFunc(cuts, bytes.Compare)
		}
		got := scan.all(t, snap, contiguous(cuts))
		if !slices.EqualFunc(got, want, bytes.Equal) {
			t.Fatalf("%+v, cut at %q: %d keys, not %d", scan, cuts, len(got), len(want))
		}
	}
}

// rangeScan is a way to scan.
type rangeScan struct {
	since       uint64
	allVersions bool
}

func (r rangeScan) all(t *testing.T, snap *Snapshot, ranges []keyRange) (keys [][]byte) {
	t.Helper()
	layout, err := checkBadger()
	if err != nil {
		t.Fatal(err)
	}
	s := &scanner{ctx: t.Context(), snap: snap, layout: layout, since: r.since, allVersions: r.allVersions}
	for _, r := range ranges {
		err := s.scan(r, func(rec *archive.Record, _ bool) error {
			keys = append(keys, bytes.Clone(rec.Key))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return keys
}
