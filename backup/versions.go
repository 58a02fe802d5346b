package backup

import (
	"bytes"
	"fmt"
	"math"

	badger "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/y"

	"github.com/brockdb/brock/backup/fault"
)

// entry is one version of one key as the database holds it. Its slices are
// valid until the next move.
type entry struct {
	key       []byte
	version   uint64
	expiresAt uint64
	meta      byte // Badger's, all bits
	userMeta  byte
	inline    []byte // the value, unless apart
	apart     bool   // the value is to be had through resolve and value
}

// versions walks through all versions in (since, read_ts] of one snapshot, by
// key, newest first. One goroutine uses it.
type versions interface {
	// seek moves to the first version in a range. The walk may go on beyond it.
	seek(r keyRange) bool
	next() bool
	entry() *entry
	// resolve returns the present entry as it is where its value is read, which
	// must come before value. Badger's merge operator replaces the newest operand
	// by the merged value at the same version, at any time.
	resolve() (*entry, error)
	// value calls fn with the value of the entry that resolve returned.
	value(fn func([]byte) error) error
	// err returns the error that ended a table early.
	err() error
	close()
}

// openVersions returns the fast walk, or the plain one: where Badger filters
// keys by a namespace that only it knows, and where all versions count, because
// compaction may drop an overwritten one after the fast walk has begun and
// before it reads its value.
func openVersions(snap *Snapshot, layout *badgerLayout, since uint64, allVersions bool) versions {
	plain := &itemVersions{layout: layout, snap: snap, since: since}
	isPlain := allVersions || snap.DB.Opts().NamespaceOffset >= 0
	if isPlain && since == 0 {
		return plain
	}
	it := layout.open(snap, since)
	raw := &rawVersions{layout: layout, snap: snap, since: since, it: it, merged: newMerged(layout.leaves(it)), plain: plain}
	if isPlain {
		return &scoutedVersions{plain, raw}
	}
	return raw
}

// open opens an iterator that leaves the block cache to the database's own
// readers: a backup reads every block once, and would only push theirs out and
// grow to the cache's full size.
func (l *badgerLayout) open(snap *Snapshot, since uint64) *badger.Iterator {
	it := snap.Txn.NewIterator(badger.IteratorOptions{AllVersions: true, SinceTs: since})
	l.skipCache(it)
	return it
}

// rawVersions merges the tables below a badger.Iterator, which copies every key
// and value and allocates an Item for them.
type rawVersions struct {
	layout *badgerLayout
	snap   *Snapshot
	since  uint64
	it     *badger.Iterator
	merged *merged
	right  []byte // where the walk ends; nil for nowhere
	now    entry
	plain  *itemVersions // for values in the value log
}

// internalPrefix is that of Badger's own keys, which no reader sees.
var internalPrefix = []byte("!badger!")

func (v *rawVersions) seek(r keyRange) bool {
	v.right = r.right
	if len(r.left) == 0 {
		v.merged.rewind()
	} else {
		v.merged.seek(y.KeyWithTs(r.left, math.MaxUint64))
	}
	return v.settle()
}

func (v *rawVersions) next() bool {
	v.merged.next()
	return v.settle()
}

// settle moves on to the next version that is in the snapshot. It stops at the
// end of the range also where it passes over everything: nobody else sees what it
// passes over, and an incremental would else read what is left of the memtables
// and of every table with a change in it once per range.
func (v *rawVersions) settle() bool {
	for ; v.merged.valid(); v.merged.next() {
		key := v.merged.key()
		version := y.ParseTs(key)
		if version > v.snap.ReadTs || version <= v.since || key[0] == internalPrefix[0] && bytes.HasPrefix(key, internalPrefix) {
			if len(v.right) > 0 && bytes.Compare(y.ParseKey(key), v.right) >= 0 {
				return false
			}
			continue
		}
		value := v.merged.value()
		v.now = entry{key: y.ParseKey(key), version: version, expiresAt: value.ExpiresAt,
			meta: value.Meta, userMeta: value.UserMeta, inline: value.Value, apart: value.Meta&metaValuePointer != 0}
		return true
	}
	return false
}

func (v *rawVersions) entry() *entry { return &v.now }

func (v *rawVersions) resolve() (*entry, error) { return v.plain.find(v.now.key, v.now.version) }

func (v *rawVersions) value(fn func([]byte) error) error { return v.plain.value(fn) }

func (v *rawVersions) err() error {
	if err := v.layout.iteratorErr(v.it); err != nil {
		return err
	}
	return v.plain.err()
}

func (v *rawVersions) close() {
	v.it.Close()
	v.plain.close()
}

// itemVersions reads through Badger's Items.
type itemVersions struct {
	layout *badgerLayout
	snap   *Snapshot
	since  uint64
	it     *badger.Iterator // opened by the first use
	now    entry
}

func (v *itemVersions) seek(r keyRange) bool {
	if v.it == nil {
		v.it = v.layout.open(v.snap, v.since)
	}
	v.it.Seek(r.left)
	return v.settle()
}

func (v *itemVersions) next() bool {
	v.it.Next()
	return v.settle()
}

func (v *itemVersions) settle() bool {
	if !v.it.Valid() {
		return false
	}
	item := v.it.Item()
	v.now = entry{key: item.Key(), version: item.Version(), expiresAt: item.ExpiresAt(),
		meta: v.layout.meta(item), userMeta: item.UserMeta(), apart: true}
	return true
}

func (v *itemVersions) entry() *entry { return &v.now }

func (v *itemVersions) resolve() (*entry, error) { return &v.now, nil }

func (v *itemVersions) value(fn func([]byte) error) error {
	item := v.it.Item()
	pointer := v.now.meta&metaValuePointer != 0
	return item.Value(func(value []byte) error {
		if err := checkValue(item, value, pointer); err != nil {
			return err
		}
		return fn(value)
	})
}

// scoutedVersions is the plain walk of an incremental. It knows no end: where
// nothing is new, Badger's iterator passes over all there is. So the fast walk goes
// ahead to the first version in the range, and where it finds none, there is none.
type scoutedVersions struct {
	*itemVersions
	scout *rawVersions
}

func (v *scoutedVersions) seek(r keyRange) bool {
	return v.scout.seek(r) && v.itemVersions.seek(keyRange{left: v.scout.now.key, right: r.right})
}

func (v *scoutedVersions) err() error { return v.scout.err() } // of both

func (v *scoutedVersions) close() { v.scout.close() } // both

// find moves on to a version of a key. Keys come in order, so it follows step by
// step while values lie close to each other.
func (v *itemVersions) find(key []byte, version uint64) (*entry, error) {
	const maxSteps = 16
	ok := v.it != nil && v.it.Valid() && v.settle()
	for steps := 0; ok && steps < maxSteps && bytes.Compare(v.now.key, key) < 0; steps++ {
		ok = v.next()
	}
	if !ok || bytes.Compare(v.now.key, key) < 0 {
		ok = v.seek(keyRange{left: key})
	}
	for ok && bytes.Equal(v.now.key, key) && v.now.version > version {
		ok = v.next()
	}
	if ok && bytes.Equal(v.now.key, key) && v.now.version == version {
		return &v.now, nil
	}
	op := fmt.Sprintf("read the value of key %x version %d", clip(key), version)
	if err := v.err(); err != nil {
		return nil, fault.New(fault.Corrupt, op, "%w", err).WithHint(damagedHint)
	}
	return nil, fault.New(fault.Other, op, "it is in the database no more").
		WithHint("a merge operator or a compaction replaced it this moment: run the backup again; if that does not help, the database is damaged")
}

func (v *itemVersions) err() error {
	if v.it == nil {
		return nil
	}
	return v.layout.iteratorErr(v.it)
}

func (v *itemVersions) close() {
	if v.it != nil {
		v.it.Close()
	}
}
