package store

import (
	"context"
	"fmt"
	"maps"
	"math"
	"sync"
	"testing"
	"time"

	badger "github.com/dgraph-io/badger/v4"
)

// stored counts the live records under a collection id that are physically there.
func stored(t testing.TB, s *Store, id uint64) (n int) {
	t.Helper()
	txn := s.db.NewTransactionAt(math.MaxUint64, false)
	defer txn.Discard()
	err := reader{txn}.scan(recordPrefix(id), nil, func(*badger.Item) error { n++; return nil })
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// waitReaped waits until the store has reaped n collections since it was opened.
func waitReaped(t testing.TB, s *Store, n uint64) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); s.Stats().Reaped < n; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("reaped %d collections, want %d", s.Stats().Reaped, n)
		}
	}
}

func lookup(t testing.TB, s *Store, name string) Collection {
	t.Helper()
	v, err := s.View()
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	c, err := v.Lookup("", name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestDropUnderView: a view from before the drop still sees all; the records
// go physically when it closes; the name's next bearer is empty.
func TestDropUnderView(t *testing.T) {
	s := newStore(t)
	put(t, s, "c", "a", "1", "b", "2")
	put(t, s, "other", "a", "1")
	old := lookup(t, s, "c")
	v := openView(t, s)
	propose(t, s, &Batch{Drops: []Ref{{"", "c"}}})
	put(t, s, "c", "n", "3")
	if c := lookup(t, s, "c"); c.ID == old.ID {
		t.Errorf("the collection made anew has the old id %d", c.ID)
	}
	for range 50 { // plenty of chances to reap
		put(t, s, "other", "x", "1")
		time.Sleep(time.Millisecond / 2)
	}
	if got := contents(t, v, "", "c"); !maps.Equal(got, map[string]string{"a": "1", "b": "2"}) || s.Stats().Reaped != 0 {
		t.Errorf("the view has %v; reaped %d", got, s.Stats().Reaped)
	}
	if got := now(t, s, "c"); !maps.Equal(got, map[string]string{"n": "3"}) {
		t.Errorf("the new collection has %v", got)
	}
	later := openView(t, s) // from after the drop: holds nothing back
	v.Close()
	waitReaped(t, s, 1)
	if n := stored(t, s, old.ID); n != 0 {
		t.Errorf("%d records of the dropped collection are still there", n)
	}
	if got := contents(t, later, "", "c"); !maps.Equal(got, map[string]string{"n": "3"}) {
		t.Errorf("after reaping, the new collection has %v", got)
	}
	if got := now(t, s, "other"); len(got) != 2 {
		t.Errorf("after reaping, the other collection has %v", got)
	}
	v2 := openView(t, s)
	if err := v2.reader.scanLocal(spaceReap, func(key string, _ []byte) error { return fmt.Errorf("reap record %s is left", key) }); err != nil {
		t.Error(err)
	}
}

func TestDropAndCreateInOneBatch(t *testing.T) {
	s := newStore(t)
	put(t, s, "c", "a", "1")
	put(t, s, "d", "a", "1")
	old := lookup(t, s, "c").ID
	propose(t, s, &Batch{
		Drops:   []Ref{{"", "c"}, {"", "d"}},
		Creates: []Create{{Collection: "c", Schema: []byte(`{}`)}},
		Puts:    []Put{{Collection: "d", Key: "n", Value: []byte("2")}},
		Removes: []Remove{{"", "c", "a"}},
	})
	if c := lookup(t, s, "c"); c.ID == old || string(c.Schema) != "{}" {
		t.Errorf("got %+v, was %d", c, old)
	}
	if c, d := now(t, s, "c"), now(t, s, "d"); len(c) != 0 || !maps.Equal(d, map[string]string{"n": "2"}) {
		t.Errorf("c has %v, d has %v", c, d)
	}
	waitReaped(t, s, 2)
}

// TestReapAfterRestart: a drop whose reaping did not happen is reaped later.
func TestReapAfterRestart(t *testing.T) {
	o := testOptions(t.TempDir())
	o.reapDelay = time.Hour
	s := openStore(t, o)
	put(t, s, "c", "a", "1")
	put(t, s, "kept", "a", "1")
	id := lookup(t, s, "c").ID
	dropped := propose(t, s, &Batch{Drops: []Ref{{"", "c"}}})
	closeStore(t, s)
	s = openStore(t, o)
	if stored(t, s, id) != 1 || s.Stats().Reaped != 0 {
		t.Errorf("reaped without having waited")
	}
	closeStore(t, s)
	o.reapDelay = time.Millisecond
	s = openStore(t, o)
	waitReaped(t, s, 1)
	if n := stored(t, s, id); n != 0 {
		t.Errorf("%d records are left", n)
	}
	if got := now(t, s, "kept"); len(got) != 1 {
		t.Errorf("the other collection has %v", got)
	}
	closeStore(t, s)
	s = openStore(t, o)
	put(t, s, "new", "a", "1")
	if next := lookup(t, s, "new").ID; next <= id || s.MaxTs() <= dropped {
		t.Errorf("the next collection has id %d, the dropped one had %d", next, id)
	}
}

// TestReapWhileWriting: DropPrefix blocks Badger's writes; nobody must notice.
func TestReapWhileWriting(t *testing.T) {
	s := newStore(t)
	var wg sync.WaitGroup
	const writers, rounds, drops = 3, 150, 8
	for w := range writers {
		wg.Go(func() {
			for r := range rounds {
				if _, err := s.Propose(context.Background(), onePut("kept", fmt.Sprintf("%d-%d", w, r), "1")); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range drops {
		name := fmt.Sprint("gone", i)
		put(t, s, name, "a", "1", "b", "2")
		propose(t, s, &Batch{Drops: []Ref{{"", name}}})
	}
	wg.Wait()
	waitReaped(t, s, drops)
	if got := now(t, s, "kept"); len(got) != writers*rounds {
		t.Errorf("%d records are there, want %d", len(got), writers*rounds)
	}
}
