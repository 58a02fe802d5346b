package store

import (
	"container/list"
	"sync"
	"time"

	"github.com/brockdb/brock/backup/fault"
)

// tracker knows the newest commit, the open snapshots and the delete pins, and
// from these how far compaction may throw old versions and delete markers away.
// In managed mode nothing else holds compaction back: not even an open read
// transaction.
//
// The series states are changed by the committer alone, through publish.
type tracker struct {
	setDiscardTs func(uint64)  // of Badger
	released     func()        // called, without the lock, after a snapshot closed
	pinMaxAge    time.Duration // negative: a pin never gets too old
	pinMaxGrowth int64         // bytes; 0: a pin never gets too dear
	size         func() int64  // of the store, in bytes

	mu        sync.Mutex
	lastTs    uint64     // the newest acknowledged commit
	discardTs uint64     // never lowered
	open      *list.List // of *snapshot, ascending by ts
	backups   int        // open snapshots of backups
	series    map[string]*seriesState
	closing   bool
	empty     chan struct{} // closed when closing and the last snapshot is gone
}

// snapshot is one moment that is being read, by one reader or by many.
type snapshot struct {
	ts      uint64
	readers int
}

func newTracker(lastTs uint64, setDiscardTs func(uint64), pinMaxAge time.Duration) *tracker {
	return &tracker{
		setDiscardTs: setDiscardTs,
		released:     func() {},
		pinMaxAge:    pinMaxAge,
		size:         func() int64 { return 0 },
		lastTs:       lastTs,
		open:         list.New(),
		series:       make(map[string]*seriesState),
		empty:        make(chan struct{}),
	}
}

// openLatest opens a snapshot at the newest acknowledged commit.
func (t *tracker) openLatest() (*list.Element, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closing {
		return nil, errClosed("open snapshot")
	}
	return t.register(t.lastTs), nil
}

// register opens a snapshot at ts, which is the newest commit. Called with the lock.
func (t *tracker) register(ts uint64) *list.Element {
	if back := t.open.Back(); back != nil && back.Value.(*snapshot).ts == ts {
		back.Value.(*snapshot).readers++
		return back
	}
	return t.open.PushBack(&snapshot{ts: ts, readers: 1})
}

// registerBackup is register for the snapshot of a backup: no pin gets too old
// while one is open, or the backup being made could lose the pin it stands on.
func (t *tracker) registerBackup(ts uint64) *list.Element {
	t.backups++
	return t.register(ts)
}

// release closes a snapshot.
func (t *tracker) release(e *list.Element, backup bool) {
	t.mu.Lock()
	if backup {
		t.backups--
	}
	snap := e.Value.(*snapshot)
	if snap.readers--; snap.readers == 0 {
		t.open.Remove(e)
		t.raiseDiscardTs()
		if t.closing && t.open.Len() == 0 {
			close(t.empty)
		}
	}
	t.mu.Unlock()
	t.released()
}

// oldest returns the ts of the oldest snapshot that is open or held.
func (t *tracker) oldest() (ts uint64, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	ts, ok = t.oldestHeld()
	if front := t.open.Front(); front != nil {
		return min(ts, front.Value.(*snapshot).ts), true
	}
	return ts, ok
}

// last returns the newest acknowledged commit ts.
func (t *tracker) last() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lastTs
}

// publish makes the commits up to ts visible: snapshots opened from now on see
// them. The effects run in the same instant.
func (t *tracker) publish(ts uint64, effects []func(ts uint64)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lastTs = ts
	for _, effect := range effects {
		effect(ts)
	}
	t.raiseDiscardTs()
}

// raiseDiscardTs lets compaction discard what no open snapshot and no delete
// pin needs. Called with the lock.
func (t *tracker) raiseDiscardTs() {
	limit := t.lastTs
	if front := t.open.Front(); front != nil {
		limit = min(limit, front.Value.(*snapshot).ts)
	}
	for _, state := range t.series {
		if pin, ok := state.pin(); ok {
			limit = min(limit, pin)
		}
	}
	if limit > t.discardTs {
		t.discardTs = limit
		t.setDiscardTs(limit)
	}
}

// shutdown refuses new snapshots and waits until the open ones are closed.
func (t *tracker) shutdown() {
	t.mu.Lock()
	t.closing = true
	if t.open.Len() == 0 {
		close(t.empty)
	}
	t.mu.Unlock()
	<-t.empty
}

func errClosed(op string) error {
	return fault.New(fault.Canceled, op, "the store is closed")
}
