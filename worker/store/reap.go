package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup/fault"
)

// Dropping a collection deletes its catalog record and notes its id in the reap
// list, in one commit. The records go later, physically, by DropPrefix: that
// leaves no delete markers, takes the data away under open snapshots and blocks
// writes, so it waits until no snapshot is older than the drop and runs in the
// committer. The list is durable: what a crash interrupts is done again.

// reap is a dropped collection whose records are still there.
type reap struct {
	id      uint64
	dropped uint64 // commit ts of the drop
}

type reapRecord struct {
	DroppedTs uint64 `json:"dropped_ts"`
}

func (r reap) key() []byte { return localKey(spaceReap, strconv.FormatUint(r.id, 10)) }

func (r reap) write() write {
	return write{r.key(), fmt.Appendf(nil, `{"dropped_ts":%d}`, r.dropped)}
}

func decodeReap(key string, value []byte) (reap, error) {
	id, err := strconv.ParseUint(key, 10, 64)
	var record reapRecord
	if err == nil {
		err = json.Unmarshal(value, &record)
	}
	if err != nil {
		return reap{}, fault.New(fault.Corrupt, "read reap record "+quote(key), "%w", err)
	}
	return reap{id, record.DroppedTs}, nil
}

const (
	// maxReaped bounds the prefixes of one DropPrefix: Badger compares every
	// key it rewrites with each of them.
	maxReaped = 256
	// A DropPrefix flushes the memtable and rewrites tables, so drops are
	// gathered for a while, and a busy store is disturbed rarely.
	reapIdleDelay = 2 * time.Second
	reapBusyDelay = 30 * time.Second
)

// reaper is the part of the committer that removes dropped collections.
type reaper struct {
	reaps       []reap      // in order of their drop
	waiting     atomic.Bool // whether there are any, for other goroutines
	since       time.Time   // when the first of them was noted, or last tried
	idleDelay   time.Duration
	maintenance *sync.Mutex // held while value log files are rewritten
}

// dropped notes new reaps.
func (r *reaper) dropped(reaps []reap) {
	if len(reaps) > 0 && len(r.reaps) == 0 {
		r.since = time.Now()
	}
	r.reaps = append(r.reaps, reaps...)
	r.waiting.Store(len(r.reaps) > 0)
}

// ready returns the reaps that no open snapshot can see.
func (c *committer) ready() []reap {
	oldest, open := c.tracker.oldest()
	n := 0
	for n < len(c.reaps) && n < maxReaped && (!open || c.reaps[n].dropped <= oldest) {
		n++
	}
	return c.reaps[:n]
}

func (c *committer) reapDue(idle bool) bool {
	delay := c.idleDelay
	if !idle {
		delay = reapBusyDelay
	}
	return len(c.reaps) > 0 && time.Since(c.since) >= delay && len(c.ready()) > 0
}

// reapDelay returns how long an idle committer should wait before it reaps.
func (c *committer) reapDelay() (delay time.Duration, due bool) {
	if len(c.reaps) == 0 || len(c.ready()) == 0 {
		return 0, false // the end of a snapshot wakes the committer
	}
	return max(0, c.idleDelay-time.Since(c.since)), true
}

// reap removes the records of dropped collections and then their reap records.
// What cannot be removed now is tried again later.
func (c *committer) reap() {
	c.since = time.Now()
	ready := c.ready()
	prefixes := make([][]byte, len(ready))
	for i, r := range ready {
		prefixes[i] = recordPrefix(r.id)
	}
	// A rewrite of a value log file in progress would bring records back.
	if !c.maintenance.TryLock() {
		return
	}
	err := c.db.DropPrefix(prefixes...)
	c.maintenance.Unlock()
	if err != nil {
		// Badger may be left between two states of its memtables.
		c.disk.fail(fmt.Errorf("remove dropped collections: %w", err))
		c.log.Errorf("%v", c.disk.failed())
		return
	}
	gone, err := c.gone(ready, prefixes)
	if err != nil {
		c.log.Warningf("cannot remove dropped collections, trying again later: %v", err)
		return
	}
	c.forget(gone)
}

// gone returns the reaps of which nothing is left: DropPrefix returns no error
// when its compaction of level 0 fails.
func (c *committer) gone(ready []reap, prefixes [][]byte) ([]reap, error) {
	txn := c.db.NewTransactionAt(math.MaxUint64, false)
	defer txn.Discard()
	var gone []reap
	for i, prefix := range prefixes {
		err := reader{txn}.scan(prefix, nil, func(*badger.Item) error { return errEnd })
		switch {
		case err == nil:
			gone = append(gone, ready[i])
		case !errors.Is(err, errEnd):
			return nil, err
		}
	}
	return gone, nil
}

// forget deletes reap records.
func (c *committer) forget(gone []reap) {
	if len(gone) == 0 {
		return
	}
	p := &prepared{}
	done := make(map[uint64]bool, len(gone))
	for _, r := range gone {
		p.local = append(p.local, write{r.key(), nil})
		done[r.id] = true
	}
	proposal := newProposal(p)
	g := c.newGroup()
	pl, err := c.plan(proposal, g)
	if err == nil && proposal.begin() {
		g.add(pl)
		c.commitGroup(g)
		err = (<-proposal.done).err
	}
	if err != nil {
		c.log.Warningf("cannot forget removed collections, trying again later: %v", err)
		return
	}
	var left []reap
	for _, r := range c.reaps {
		if !done[r.id] {
			left = append(left, r)
		}
	}
	c.reaps = left
	c.waiting.Store(len(left) > 0)
	c.stats.reaped.Add(uint64(len(gone)))
}
