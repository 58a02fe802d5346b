package store

import (
	"fmt"
	"math"
	"runtime"
	"sync/atomic"
	"time"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup/fault"
)

// maxGroupBytes bounds what is gathered into one group, so that nobody waits
// long for the fsync of others' large values. One batch alone may be larger.
const maxGroupBytes = 16 << 20

// committer is the one goroutine that changes the store. It takes what was
// proposed, puts as much as fits into one Badger transaction and commits that
// with sync writes: Badger syncs its write-ahead log once per transaction, so
// writers that arrive together share an fsync. What follows from a commit
// (drops to reap, pins to let go) is done between two commits, by the same
// goroutine, so that nothing else ever writes meanwhile.
//
// Fields below "owned" belong to the goroutine.
type committer struct {
	db      *badger.DB
	queue   *queue
	tracker *tracker
	disk    *disk
	log     Logger
	now     func() time.Time
	commit  func(txn *badger.Txn, ts uint64) error
	done    chan struct{} // closed when the goroutine has ended
	stats   *stats

	maxCount int64 // of Badger's transaction
	maxSmall int64
	maxTotal int64

	syncFailure atomic.Pointer[error] // set by the logger
	uid         atomic.Uint64         // maxUID, for other goroutines

	// owned
	pending     []*proposal
	lastGroup   int                 // how many batches the last group had
	collections map[Ref]uint64      // id by name
	restoring   map[Ref]bool        // names that a restoration fills; true: and that another has until its end
	incoming    map[uint64]struct{} // ids of the collections that are being restored
	lastTs      uint64              // of the newest commit
	nextID      uint64
	maxUID      uint64
	expiring    bool // a proposal that drops old pins is on its way
	reaper
	diskSpace
}

// stats counts what the committer did.
type stats struct {
	commits, groups, reaped atomic.Uint64
}

// Stats counts work since Open.
type Stats struct {
	Commits uint64 // batches committed
	Groups  uint64 // Badger transactions, each with one fsync, they went into
	Reaped  uint64 // dropped collections whose records were physically removed
}

// run commits until the queue is closed; what was not begun then is refused.
func (c *committer) run() {
	defer close(c.done)
	c.expirePins()
	for {
		taken, closed := c.queue.take()
		c.pending = append(c.pending, taken...)
		if closed {
			c.refuseAll(errClosed("commit batch"))
			return
		}
		failure := c.disk.failed()
		if failure != nil {
			c.refuseAll(failure)
		}
		if len(c.pending) > 0 {
			c.linger()
			c.commitGroup(c.gather())
			c.expirePins()
		}
		if failure == nil && c.reapDue(len(c.pending) == 0) {
			c.reap()
		}
		if len(c.pending) == 0 {
			c.wait()
		}
	}
}

// linger lets the writers whose batches were just committed come back with their
// next ones: else the first of them would get an fsync for itself, and the
// others would wait for it. It ends as soon as nobody more is about to come.
func (c *committer) linger() {
	for patience := 2; len(c.pending) < c.lastGroup && patience > 0; {
		runtime.Gosched()
		taken, _ := c.queue.take()
		c.pending = append(c.pending, taken...)
		if len(taken) == 0 {
			patience--
		}
	}
}

// wait returns when there may be something to do.
func (c *committer) wait() {
	delay, due := c.reapDelay()
	if !due || c.disk.failed() != nil {
		<-c.queue.wake
		return
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-c.queue.wake:
	case <-timer.C:
	}
}

func (c *committer) refuseAll(err error) {
	for _, p := range c.pending {
		p.refuse(err)
	}
	c.pending = nil
}

// gather takes pending proposals, in order, into a group: as many as fit. The
// first one that has to wait ends the group, so that none is overtaken.
func (c *committer) gather() *group {
	g := c.newGroup()
	for i, p := range c.pending {
		pl, err := c.plan(p, g)
		if err == nil {
			err = c.diskSpace.check(pl)
		}
		if err != nil {
			p.refuse(err)
			continue
		}
		if !c.fits(g, pl) {
			c.pending = append([]*proposal(nil), c.pending[i:]...)
			return g
		}
		if p.begin() {
			g.add(pl)
		}
	}
	c.pending = nil
	return g
}

// commitGroup makes a group durable and visible and tells its proposers.
func (c *committer) commitGroup(g *group) {
	if len(g.plans) == 0 {
		return
	}
	c.lastGroup = len(g.plans)
	err := c.write(g)
	if err == nil {
		c.takeOver(g)
	}
	for _, pl := range g.plans {
		if err != nil {
			pl.done <- outcome{err: err}
			continue
		}
		pl.done <- outcome{ts: c.lastTs, uidKeys: pl.uidKeys}
	}
}

// write commits the group's transaction. An error of the commit itself leaves
// the store in doubt: the write may be in memory but not on disk, and the next
// commit would make it visible. So there is no next one until a restart.
func (c *committer) write(g *group) error {
	txn := c.db.NewTransactionAt(math.MaxUint64, true)
	defer txn.Discard()
	var count int
	set := func(writes []write) error {
		for _, w := range writes {
			count++
			var err error
			if w.value == nil {
				err = txn.Delete(w.key)
			} else {
				err = txn.Set(w.key, w.value)
			}
			if err != nil {
				return fault.Wrap(err, "commit batch")
			}
		}
		return nil
	}
	for _, pl := range g.plans {
		if err := set(pl.writes); err != nil {
			return err
		}
	}
	if count == 0 {
		g.ts = c.lastTs // nothing to say after all: a change that was already made
		return nil
	}
	if err := set(c.ownWrites(g)); err != nil {
		return err
	}
	c.disk.committing()
	err := c.commit(txn, g.ts)
	c.disk.ended()
	if failure := c.syncFailure.Load(); err == nil && failure != nil {
		err = *failure
	}
	if err != nil {
		c.disk.fail(fmt.Errorf("commit %d: %w", g.ts, err))
		return c.disk.failed()
	}
	c.stats.groups.Add(1)
	c.stats.commits.Add(uint64(len(g.plans)))
	return nil
}

// takeOver brings memory to where the disk is and makes the group visible.
func (c *committer) takeOver(g *group) {
	c.lastTs, c.nextID, c.maxUID = g.ts, g.nextID, g.maxUID
	c.disk.acknowledged.Store(g.ts)
	c.uid.Store(g.maxUID)
	var effects []func(uint64)
	for _, pl := range g.plans {
		for ref, id := range pl.changed {
			if id == 0 {
				delete(c.collections, ref)
			} else {
				c.collections[ref] = id
			}
		}
		c.dropped(pl.reaps)
		if pl.apply != nil {
			effects = append(effects, func(uint64) { pl.apply() })
		}
		if pl.onCommit != nil {
			effects = append(effects, pl.onCommit)
		}
	}
	c.tracker.publish(g.ts, effects)
}

// expirePins proposes to let pins go that are too old.
func (c *committer) expirePins() {
	if c.expiring || !c.tracker.expiryDue(c.now()) {
		return
	}
	c.expiring = true
	c.pending = append(c.pending, newProposal(&prepared{
		resolve: func(t *tracker) ([]write, func(), error) {
			c.expiring = false
			return t.dropExpired(c.now())
		},
	}))
}
