package store

import (
	"container/list"
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/fault"
)

// A backup that takes longer than a moment has its snapshot held: a durable pin
// at its read ts, by which it can be read again after the process died. That all
// of it can be read follows from the discard ts alone. Compaction keeps every
// version above it and, of each key, the newest at or below it; so as long as the
// discard ts has never been above a read ts, the newest version of each key at
// that read ts is still there, and so is every delete after the parent's read
// ts, which is pinned as well. The pin is set while the snapshot is open and
// loaded before anything is discarded (Store.load), so there is no moment at
// which the discard ts could pass it. Reaping waits for it too (tracker.oldest).

// heldState is a held snapshot as it is stored.
type heldState struct {
	backup.Held
	At time.Time `json:"at"` // when it was held
}

var (
	_ backup.Resumer    = source{}
	_ backup.Rememberer = source{}
)

// Hold pins the snapshot of a backup, durably.
func (s source) Hold(ctx context.Context, h backup.Held) error {
	op := fmt.Sprintf("hold the snapshot of backup %d of series %s", h.BackupNum, quote(h.BackupID))
	if h.BackupID == "" || len(h.BackupID) > MaxNameBytes || h.ReadTs == 0 {
		return fault.New(fault.Usage, op, "its id has %d bytes and its version is %d", len(h.BackupID), h.ReadTs)
	}
	return s.change(ctx, op, func(t *tracker) ([]write, func(), error) { return t.hold(h, s.store.now()) })
}

// Held returns what is held for a destination.
func (s source) Held(destination string) (backup.Held, bool) {
	t := s.store.tracker
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, state := range t.series {
		if state.Held != nil && state.Destination == destination {
			return state.Held.Held, true
		}
	}
	return backup.Held{}, false
}

// Release takes the pins of held snapshots off.
func (s source) Release(ctx context.Context, destination string) error {
	return s.change(ctx, "let a held snapshot go", func(t *tracker) ([]write, func(), error) {
		t.mu.Lock()
		defer t.mu.Unlock()
		states, removed := t.unheld(destination)
		return t.seriesChange(states, removed)
	})
}

// Reopen opens a held snapshot again.
func (s source) Reopen(_ context.Context, h backup.Held) (*backup.Snapshot, string, error) {
	opened, reason := s.store.tracker.openHeld(h)
	if reason != "" {
		return nil, reason, nil
	}
	txn := s.store.db.NewTransactionAt(h.ReadTs, false)
	closeOnce := sync.OnceFunc(func() {
		txn.Discard()
		s.store.tracker.release(opened, true)
	})
	snap, err := s.describe(txn, h.ReadTs)
	if err != nil {
		closeOnce()
		return nil, "", fault.Wrap(err, "open backup snapshot")
	}
	snap.Close = closeOnce
	return snap, "", nil
}

// hold makes h what is held for its destination.
func (t *tracker) hold(h backup.Held, now time.Time) ([]write, func(), error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.discardTs > h.ReadTs {
		return nil, nil, fault.New(fault.Other, "hold it", "the discard timestamp %d is past its version %d", t.discardTs, h.ReadTs)
	}
	states, removed := t.unheld(h.Destination)
	state := &seriesState{BackupID: h.BackupID, Destination: h.Destination}
	if old := t.series[h.BackupID]; old != nil {
		*state = *old
	}
	state.Held = &heldState{h, now}
	others := states[:0]
	for _, other := range states {
		if other.BackupID != h.BackupID {
			others = append(others, other)
		}
	}
	kept := removed[:0]
	for _, id := range removed {
		if id != h.BackupID {
			kept = append(kept, id)
		}
	}
	return t.seriesChange(append(others, state), kept)
}

// unheld returns the states that change, and the series that are forgotten, when
// nothing is held for a destination any more. Called with the lock.
func (t *tracker) unheld(destination string) (states []*seriesState, removed []string) {
	for id, state := range t.series {
		if state.Held == nil || state.Destination != destination {
			continue
		}
		next := *state
		next.Held = nil
		if next.Committed == nil && next.Pending == nil && next.Dropped == "" {
			removed = append(removed, id)
		} else {
			states = append(states, &next)
		}
	}
	return states, removed
}

// openHeld opens a snapshot at the read ts of h, or returns the reason why it
// cannot be read as a whole.
func (t *tracker) openHeld(h backup.Held) (opened *list.Element, reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	state := t.series[h.BackupID]
	switch {
	case t.closing:
		return nil, "the store is closed"
	case state == nil || state.Held == nil || state.Held.Held != h:
		return nil, "its snapshot is not held any more"
	case t.discardTs > h.ReadTs || h.ReadTs > t.lastTs:
		return nil, fmt.Sprintf("versions that its snapshot at %d needs may have been discarded", h.ReadTs)
	case h.Since > 0 && t.discardTs > h.Since:
		return nil, fmt.Sprintf("deletes since version %d may have been discarded", h.Since)
	}
	t.backups++
	return t.registerOld(h.ReadTs), ""
}

// openAt opens a snapshot at any ts.
func (t *tracker) openAt(ts uint64) *list.Element {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.registerOld(ts)
}

// registerOld opens a snapshot at any ts. Called with the lock.
func (t *tracker) registerOld(ts uint64) *list.Element {
	after := t.open.Back()
	for after != nil && after.Value.(*snapshot).ts > ts {
		after = after.Prev()
	}
	switch {
	case after != nil && after.Value.(*snapshot).ts == ts:
		after.Value.(*snapshot).readers++
		return after
	case after == nil:
		return t.open.PushFront(&snapshot{ts: ts, readers: 1})
	}
	return t.open.InsertAfter(&snapshot{ts: ts, readers: 1}, after)
}

// oldestHeld returns the lowest read ts that is held. Called with the lock.
func (t *tracker) oldestHeld() (ts uint64, ok bool) {
	ts = math.MaxUint64
	for _, state := range t.series {
		if state.Held != nil {
			ts, ok = min(ts, state.Held.ReadTs), true
		}
	}
	return ts, ok
}
