package backup

import (
	"slices"

	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
)

// merged merges the memtables and levels of a database, as Badger's own
// table.MergeIterator does: by key, newest version first, and of the same version
// of the same key, which can be in two of them, the one that Badger asks first.
// Badger nests iterators of two, each of which compares and copies the keys that
// pass; here the next key is compared with that of the runner-up alone, since
// most keys come from one level for a long time.
type merged struct {
	leaves []leaf  // all of them, in the order that Badger asks them
	heads  []*leaf // those that are not at their end, by their present key
}

// leaf walks through one memtable or level.
type leaf struct {
	it     y.Iterator
	concat *table.ConcatIterator // it, where it is one: calling that directly is cheaper
	key    []byte                // with timestamp
	order  int
}

func newMerged(iters []y.Iterator) *merged {
	m := &merged{leaves: make([]leaf, len(iters))}
	for i, it := range iters {
		m.leaves[i] = leaf{it: it, order: i}
		m.leaves[i].concat, _ = it.(*table.ConcatIterator)
	}
	return m
}

// rewind moves to the first key.
func (m *merged) rewind() { m.begin(func(it y.Iterator) { it.Rewind() }) }

// seek moves to the first key that is not below key.
func (m *merged) seek(key []byte) { m.begin(func(it y.Iterator) { it.Seek(key) }) }

func (m *merged) begin(move func(y.Iterator)) {
	m.heads = m.heads[:0]
	for i := len(m.leaves) - 1; i >= 0; i-- {
		l := &m.leaves[i]
		if move(l.it); l.settle() {
			m.heads = slices.Insert(m.heads, 0, l)
			m.sink(0)
		}
	}
}

// settle takes over the leaf's present key; it reports false at its end.
func (l *leaf) settle() bool {
	if c := l.concat; c != nil {
		if !c.Valid() {
			return false
		}
		l.key = c.Key()
		return true
	}
	if !l.it.Valid() {
		return false
	}
	l.key = l.it.Key()
	return true
}

// next moves the leaf on; it reports false at its end.
func (l *leaf) next() bool {
	if l.concat != nil {
		l.concat.Next()
	} else {
		l.it.Next()
	}
	return l.settle()
}

// sink moves head i, whose key may be larger than those after it, to its place.
func (m *merged) sink(i int) {
	for i+1 < len(m.heads) {
		a, b := m.heads[i], m.heads[i+1]
		switch order := y.CompareKeys(a.key, b.key); {
		case order < 0:
			return
		case order > 0:
			m.heads[i], m.heads[i+1] = b, a
			i++
		case a.order < b.order:
			m.advance(i + 1)
			return
		default:
			m.advance(i)
			return
		}
	}
}

// advance moves head i on.
func (m *merged) advance(i int) {
	if !m.heads[i].next() {
		m.heads = slices.Delete(m.heads, i, i+1)
		return
	}
	m.sink(i)
}

func (m *merged) valid() bool { return len(m.heads) > 0 }

// next moves to the next key; there must be a present one.
func (m *merged) next() { m.advance(0) }

// key returns the present key, with its timestamp; it is valid until the next move.
func (m *merged) key() []byte { return m.heads[0].key }

func (m *merged) value() y.ValueStruct {
	if c := m.heads[0].concat; c != nil {
		return c.Value()
	}
	return m.heads[0].it.Value()
}
