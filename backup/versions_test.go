package backup

import (
	"fmt"
	"testing"

	badger "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/y"
)

// TestRangeEndsWhereNothingChanged holds that the walk through a range without
// changes ends at its right end, and does not go on to the next change: else an
// incremental of nothing reads the memtables once per range.
func TestRangeEndsWhereNothingChanged(t *testing.T) {
	db, err := badger.Open(badger.DefaultOptions("").WithInMemory(true).WithLogger(nil))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	wb := db.NewWriteBatch()
	for i := range 1000 {
		if err := wb.Set(fmt.Appendf(nil, "key/%03d", i), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := wb.Flush(); err != nil {
		t.Fatal(err)
	}
	layout, err := checkBadger()
	if err != nil {
		t.Fatal(err)
	}
	txn := db.NewTransaction(false)
	defer txn.Discard()
	snap := &Snapshot{DB: db, Txn: txn, ReadTs: txn.ReadTs()}
	v, ok := openVersions(snap, layout, snap.ReadTs, false).(*rawVersions)
	if !ok {
		t.Fatal("this is not the fast walk")
	}
	defer v.close()
	if v.seek(keyRange{[]byte("key/100"), []byte("key/200")}) {
		t.Fatalf("%q has changed", v.entry().key)
	}
	if !v.root.Valid() || string(y.ParseKey(v.root.Key())) != "key/200" {
		t.Errorf("the walk went on to the end or to %q", v.root.Key())
	}
}
