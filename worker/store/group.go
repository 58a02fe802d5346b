package store

import (
	"fmt"

	"github.com/brockdb/brock/backup/fault"
)

// size is what a batch costs in a Badger transaction.
type size struct {
	count int64 // writes
	small int64 // bytes in the write-ahead log, as Badger estimates them
	total int64 // bytes, with the values that go to the value log
}

// add counts one write as Badger's Txn does: a large value leaves a pointer.
func (s *size) add(w write) {
	const pointer, meta, version = 12, 2, 10
	inline := int64(len(w.value))
	if inline >= valueThreshold {
		inline = pointer
	}
	s.count++
	s.small += int64(len(w.key)) + inline + meta + version
	s.total += int64(len(w.key) + len(w.value))
}

func (s size) plus(o size) size {
	return size{s.count + o.count, s.small + o.small, s.total + o.total}
}

// groupOverhead is what a transaction costs before the first batch: Badger's
// end mark, the two counters and the commit mark.
func groupOverhead() size { return size{count: 4, small: 512} }

// group is a number of batches that are committed in one Badger transaction:
// one request, written whole or not at all, and one fsync.
type group struct {
	ts      uint64
	plans   []*plan
	size    size
	keys    map[string]struct{} // keys written by the first indexed plans
	indexed int
	used    map[Ref]struct{} // collections read or written
	changed map[Ref]struct{} // collections made or dropped
	nextID  uint64
	maxUID  uint64
}

// newGroup begins a group at the next commit ts.
func (c *committer) newGroup() *group {
	return &group{
		ts:      c.lastTs + 1,
		size:    groupOverhead(),
		keys:    make(map[string]struct{}),
		used:    make(map[Ref]struct{}),
		changed: make(map[Ref]struct{}),
		nextID:  c.nextID,
		maxUID:  c.maxUID,
	}
}

// checkSize refuses a batch that does not fit into a transaction even alone.
func (c *committer) checkSize(s size) error {
	all := groupOverhead().plus(s)
	switch {
	case all.count >= c.maxCount:
		return fault.New(fault.Usage, "commit batch", "it has %d changes; the limit is %d",
			s.count, c.maxCount-groupOverhead().count-1).WithHint("split it")
	case all.small >= c.maxSmall:
		return fault.New(fault.Usage, "commit batch",
			"its keys and its values below %d bytes have %d bytes; the limit is %d",
			valueThreshold, s.small, c.maxSmall-groupOverhead().small-1).WithHint("split it")
	}
	return nil
}

// fits reports whether pl may join g: there is room, and the two are
// independent, so that no order between them could matter.
func (c *committer) fits(g *group, pl *plan) bool {
	if len(g.plans) == 0 {
		return true
	}
	all := g.size.plus(pl.size)
	if all.count >= c.maxCount || all.small >= c.maxSmall || all.total > c.maxTotal {
		return false
	}
	if pl.resolve != nil || pl.step != nil {
		return false // what it writes may depend on any other's
	}
	for ref := range pl.used {
		if _, changed := g.changed[ref]; changed {
			return false
		}
	}
	for ref := range pl.changed {
		if _, used := g.used[ref]; used {
			return false
		}
	}
	for _, w := range pl.writes {
		if g.writes(w.key) {
			return false
		}
	}
	return true
}

// add puts pl into g.
func (g *group) add(pl *plan) {
	g.plans = append(g.plans, pl)
	g.size = g.size.plus(pl.size)
	for ref := range pl.used {
		g.used[ref] = struct{}{}
	}
	for ref := range pl.changed {
		g.changed[ref] = struct{}{}
	}
	g.nextID, g.maxUID = pl.nextID, pl.maxUID
}

// writes reports whether the group writes key. The index is made when it is
// first asked for: a large batch is usually alone in its group.
func (g *group) writes(key []byte) bool {
	for ; g.indexed < len(g.plans); g.indexed++ {
		for _, w := range g.plans[g.indexed].writes {
			g.keys[string(w.key)] = struct{}{}
		}
	}
	_, written := g.keys[string(key)]
	return written
}

// ownWrites returns the counters that changed, and the commit mark where
// something was deleted: delete markers are the one kind of write that
// compaction may take away with all its traces, so that after a restart the
// newest version in the store could be below a commit that was acknowledged.
func (c *committer) ownWrites(g *group) []write {
	var writes []write
	if g.nextID != c.nextID {
		writes = append(writes, write{counterKey(counterNextID), encodeCounter(g.nextID)})
	}
	if g.maxUID != c.maxUID {
		writes = append(writes, write{counterKey(counterMaxUID), encodeCounter(g.maxUID)})
	}
	for _, pl := range g.plans {
		if pl.deletes {
			return append(writes, write{localKey(spaceStore, keyCommit), fmt.Appendf(nil, "%d", g.ts)})
		}
	}
	return writes
}
