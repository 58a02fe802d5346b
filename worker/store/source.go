package store

import (
	"container/list"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
)

// Source returns the store as the engine backs it up. Everything under the
// local prefix is left out.
func (s *Store) Source() backup.Source { return source{s} }

type source struct{ store *Store }

// Identity returns the store's random id.
func (s source) Identity() string { return s.store.ID() }

// Begin commits a marker and opens a snapshot exactly at its commit ts.
func (s source) Begin(ctx context.Context) (*backup.Snapshot, error) {
	var opened *list.Element
	marker := write{localKey(spaceStore, keyMarker), fmt.Appendf(nil, "%q", s.store.now().UTC().Format(time.RFC3339))}
	ts, _, err := s.store.submit(ctx, &prepared{
		local:    []write{marker},
		onCommit: func(ts uint64) { opened = s.store.tracker.registerBackup(ts) },
	})
	if err != nil {
		return nil, fault.Wrap(err, "open backup snapshot")
	}
	txn := s.store.db.NewTransactionAt(ts, false)
	closeOnce := sync.OnceFunc(func() {
		txn.Discard()
		s.store.tracker.release(opened, true)
	})
	snap, err := s.describe(txn, ts)
	if err != nil {
		closeOnce()
		return nil, fault.Wrap(err, "open backup snapshot")
	}
	snap.Close = closeOnce
	return snap, nil
}

// describe fills in what the engine wants to know of a snapshot. Records of a
// collection that was dropped but not yet reaped belong to none.
func (s source) describe(txn *badger.Txn, ts uint64) (*backup.Snapshot, error) {
	reader := reader{txn: txn}
	maxUID, err := reader.counter(counterMaxUID)
	if err != nil {
		return nil, err
	}
	snap := &backup.Snapshot{
		Txn:    txn,
		ReadTs: ts,
		MaxUID: max(maxUID, s.store.restored.MaxUID),
		DB:     s.store.db,
		Skip:   [][]byte{localPrefix()},
	}
	known := make(map[uint64]struct{})
	err = reader.collections(catalogPrefix(), func(c Collection) error {
		if c.Restoring {
			return nil // whoever restores this backup must not take it for whole
		}
		snap.Collections = append(snap.Collections,
			manifest.Collection{ID: c.ID, Namespace: c.Namespace, Name: c.Name})
		known[c.ID] = struct{}{}
		return nil
	})
	snap.CollectionOf = func(key []byte) (uint64, bool) {
		id, _, ok := parseRecordKey(key)
		if ok {
			_, ok = known[id]
		}
		return id, ok
	}
	return snap, err
}

// Extendable compares head with what the store remembers of the series.
func (s source) Extendable(ctx context.Context, head backup.Head) (string, error) {
	t := s.store.tracker
	state := t.state(head.BackupID)
	switch {
	case state == nil:
		return fmt.Sprintf("this database has no record of having made backup %s (it was restored, copied or rolled back)",
			head.BackupID), nil
	case state.Committed.is(head):
		return t.covers(head), nil
	case state.Pending.is(head):
		// The manifest was stored, but the process ended before it was told so.
		if err := s.Committed(ctx, head); err != nil {
			return "", err
		}
		return t.covers(head), nil
	case state.Dropped != "":
		return state.Dropped, nil
	}
	return fmt.Sprintf("backup %d of series %s is not the last one this database made of it", head.BackupNum, head.BackupID), nil
}

// Remembers returns the series that was committed last at a destination, as long
// as its deletes are pinned.
func (s source) Remembers(destination string) string {
	t := s.store.tracker
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, state := range t.series {
		if state.Committed != nil && state.Destination == destination {
			return id
		}
	}
	return ""
}

// covers is the last line of defense: whatever the states say, deletes that
// compaction may have discarded cannot be in an incremental.
func (t *tracker) covers(head backup.Head) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.discardTs > head.ReadTs || head.ReadTs > t.lastTs {
		return fmt.Sprintf("deletes since its version %d may have been discarded", head.ReadTs)
	}
	return ""
}

// Prepare makes head the pending one of its series, durably.
func (s source) Prepare(ctx context.Context, snap *backup.Snapshot, head backup.Head) error {
	op := fmt.Sprintf("finish backup %d of series %s", head.BackupNum, quote(head.BackupID))
	switch {
	case head.BackupID == "" || len(head.BackupID) > MaxNameBytes:
		return fault.New(fault.Usage, op, "its id has %d bytes; 1 to %d are allowed", len(head.BackupID), MaxNameBytes)
	case head.ReadTs != snap.ReadTs || head.Digest == "":
		return fault.New(fault.Usage, op, "it is not of the snapshot at version %d", snap.ReadTs)
	}
	return s.change(ctx, op, func(t *tracker) ([]write, func(), error) {
		return t.prepareHead(head, s.store.now(), s.store.Bytes())
	})
}

// Committed makes the pending head the committed one, durably.
func (s source) Committed(ctx context.Context, head backup.Head) error {
	op := fmt.Sprintf("record backup %d of series %s", head.BackupNum, quote(head.BackupID))
	return s.change(ctx, op, func(t *tracker) ([]write, func(), error) { return t.commitHead(head) })
}

func (s source) change(ctx context.Context, op string, resolve func(*tracker) ([]write, func(), error)) error {
	_, _, err := s.store.submit(ctx, &prepared{resolve: resolve})
	return fault.Wrap(err, "%s", op)
}

// Pin says what compaction must keep for the sake of a series of backups.
type Pin struct {
	BackupID    string
	Destination string
	BackupNum   int       // of the newest backup that is known to be stored; 0 for none
	ReadTs      uint64    // deletes and overwritten versions after it are kept
	Since       time.Time // when the pin was set
	Dropped     string    // why nothing is kept (any more); "" for a held pin
	// GrowthBytes is by how much the store has grown since: what the pin costs at
	// most, because overwritten versions are kept too; 0 where it is not known.
	GrowthBytes int64
}

// Pins returns the delete pins by destination and series.
func (s *Store) Pins() []Pin {
	t, size := s.tracker, s.Bytes()
	t.mu.Lock()
	defer t.mu.Unlock()
	pins := make([]Pin, 0, len(t.series))
	for _, state := range t.series {
		pin := Pin{BackupID: state.BackupID, Destination: state.Destination, Dropped: state.Dropped}
		if state.Committed != nil {
			pin.BackupNum = state.Committed.BackupNum
		}
		for _, head := range []*headState{state.Committed, state.Pending} {
			if head != nil && (pin.ReadTs == 0 || head.ReadTs < pin.ReadTs) {
				pin.ReadTs, pin.Since, pin.Dropped = head.ReadTs, head.At, ""
				if head.StoreBytes > 0 {
					pin.GrowthBytes = max(size-head.StoreBytes, 0)
				}
			}
		}
		if h := state.Held; h != nil && (pin.ReadTs == 0 || h.ReadTs < pin.ReadTs) {
			pin.ReadTs, pin.Since, pin.Dropped = h.ReadTs, h.At, ""
		}
		pins = append(pins, pin)
	}
	slices.SortFunc(pins, func(a, b Pin) int {
		if c := strings.Compare(a.Destination, b.Destination); c != 0 {
			return c
		}
		return strings.Compare(a.BackupID, b.BackupID)
	})
	return pins
}
