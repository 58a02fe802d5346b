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
	sinces := []uint64{0, snap.ReadTs - 40, snap.ReadTs}
	wants := make([][][]byte, len(sinces))
	for i, since := range sinces {
		wants[i] = scanAll(t, snap, since, []keyRange{{}})
	}
	if len(wants[0]) < 100 || len(wants[1]) < 10 || len(wants[1]) > 40 || len(wants[2]) > 0 {
		t.Fatalf("%d, %d and %d keys", len(wants[0]), len(wants[1]), len(wants[2]))
	}
	for i := range 300 {
		since, want := sinces[i%len(sinces)], wants[i%len(sinces)]
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
		got := scanAll(t, snap, since, contiguous(cuts))
		if !slices.EqualFunc(got, want, bytes.Equal) {
			t.Fatalf("since %d, cut at %q: %d keys, not %d", since, cuts, len(got), len(want))
		}
	}
}

func scanAll(t *testing.T, snap *Snapshot, since uint64, ranges []keyRange) (keys [][]byte) {
	t.Helper()
	layout, err := checkBadger()
	if err != nil {
		t.Fatal(err)
	}
	s := &scanner{ctx: t.Context(), snap: snap, layout: layout, since: since}
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
