package backup

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/dgraph-io/badger/v4/skl"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
)

// TestMerged merges random memtables and levels, with versions that are in more
// than one of them, as Badger's own merge does.
func TestMerged(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	shared := 0
	for range 100 {
		sources := make([]source, r.IntN(7))
		seen := map[string]bool{}
		for i := range sources {
			sources[i] = newMergeSource(t, r, i)
			for _, k := range sources[i].keys {
				if seen[string(k)] {
					shared++
				}
				seen[string(k)] = true
			}
		}
		ours := newMerged(open(sources))
		theirs := table.NewMergeIterator(open(sources), false)
		if theirs == nil {
			if ours.rewind(); ours.valid() {
				t.Fatal("nothing has a first key")
			}
			continue
		}
		ours.rewind()
		theirs.Rewind()
		sameWalk(t, ours, theirs)
		for range 5 {
			key := y.KeyWithTs(mergeKey(r), math.MaxUint64)
			ours.seek(key)
			theirs.Seek(key)
			sameWalk(t, ours, theirs)
		}
		for _, l := range ours.leaves {
			if err := l.it.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if err := theirs.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if shared < 500 {
		t.Errorf("only %d versions were in two places", shared)
	}
}

func sameWalk(t *testing.T, ours *merged, theirs y.Iterator) {
	t.Helper()
	for ; theirs.Valid(); theirs.Next() {
		if !ours.valid() {
			t.Fatalf("the end comes before %x", theirs.Key())
		}
		a, b := ours.value(), theirs.Value()
		if !bytes.Equal(ours.key(), theirs.Key()) || !bytes.Equal(a.Value, b.Value) || a.Meta != b.Meta {
			t.Fatalf("%x %q instead of %x %q", ours.key(), a.Value, theirs.Key(), b.Value)
		}
		ours.next()
	}
	if ours.valid() {
		t.Fatalf("%x comes after the end", ours.key())
	}
}

// source is a memtable, or a level of tables.
type source struct {
	list   *skl.Skiplist
	tables []*table.Table
	keys   [][]byte
}

func open(sources []source) (iters []y.Iterator) {
	for _, s := range sources {
		if s.list != nil {
			iters = append(iters, s.list.NewUniIterator(false))
		} else {
			for _, tab := range s.tables {
				tab.IncrRef() // ConcatIterator takes the caller's
			}
			iters = append(iters, table.NewConcatIterator(s.tables, table.NOCACHE))
		}
	}
	return iters
}

func mergeKey(r *rand.Rand) []byte { return fmt.Appendf(nil, "key-%02d", r.IntN(40)) }

// newMergeSource returns a source of few keys and versions, whose values name it.
func newMergeSource(t *testing.T, r *rand.Rand, number int) source {
	t.Helper()
	var s source
	for range r.IntN(60) {
		s.keys = append(s.keys, y.KeyWithTs(mergeKey(r), uint64(1+r.IntN(3))))
	}
	slices.SortFunc(s.keys, y.CompareKeys)
	s.keys = slices.CompactFunc(s.keys, bytes.Equal)
	value := y.ValueStruct{Value: fmt.Appendf(nil, "source %d", number), Meta: byte(number)}
	if r.IntN(2) == 0 {
		s.list = skl.NewSkiplist(16 << 10)
		for _, k := range s.keys {
			s.list.Put(k, value)
		}
		return s
	}
	for rest := s.keys; len(rest) > 0; {
		n := 1 + r.IntN(len(rest))
		o := table.Options{BlockSize: 200, TableSize: 1 << 20}
		b := table.NewTableBuilder(o)
		for _, k := range rest[:n] {
			b.Add(k, value, 0)
		}
		tab, err := table.OpenInMemoryTable(b.Finish(), uint64(len(s.tables)+1), &o)
		b.Close()
		if err != nil {
			t.Fatal(err)
		}
		s.tables = append(s.tables, tab)
		rest = rest[n:]
	}
	return s
}
