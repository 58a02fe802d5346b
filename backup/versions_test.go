package backup

import (
	"context"
	"errors"
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
	r := keyRange{[]byte("key/100"), []byte("key/200")}
	for _, allVersions := range []bool{false, true} {
		v := openVersions(snap, layout, snap.ReadTs, allVersions)
		defer v.close()
		if v.seek(r) {
			t.Fatalf("%q has changed", v.entry().key)
		}
		raw, ok := v.(*rawVersions)
		if allVersions {
			scouted := v.(*scoutedVersions)
			if raw, ok = scouted.scout, true; scouted.it != nil {
				t.Error("the plain walk was begun")
			}
		}
		if !ok {
			t.Fatalf("this is a %T", v)
		}
		if !raw.merged.valid() || string(y.ParseKey(raw.merged.key())) != "key/200" {
			t.Error("the walk went on beyond the range, or ended before it")
		}
		if v := openVersions(snap, layout, snap.ReadTs-1, allVersions); !v.seek(r) || string(v.entry().key) != "key/100" {
			t.Error("a change is not found")
		} else {
			v.close()
		}
	}
}

// TestCanceledWhereNothingChanged holds that a scan asks its context in a range
// without changes too.
func TestCanceledWhereNothingChanged(t *testing.T) {
	db, err := badger.Open(badger.DefaultOptions("").WithInMemory(true).WithLogger(nil))
	if err != nil {
		t.Fatal(err)
	}
	txn := db.NewTransaction(false)
	defer func() {
		txn.Discard()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	layout, err := checkBadger()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := &scanner{ctx: ctx, snap: &Snapshot{DB: db, Txn: txn}, layout: layout, since: 1}
	if err := s.scan(keyRange{}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
