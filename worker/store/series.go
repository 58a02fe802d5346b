package store

import (
	"cmp"
	"encoding/json"
	"fmt"
	"time"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/fault"
)

// seriesState is what the store remembers about a series of backups that was
// made of it: the newest backup, and the one whose manifest may or may not be
// stored. Each head pins the deletes after its read ts: compaction keeps them
// until a later backup has seen them. A state is never changed in place.
type seriesState struct {
	BackupID    string     `json:"backup_id"`
	Destination string     `json:"destination"`
	Committed   *headState `json:"committed,omitempty"`
	Pending     *headState `json:"pending,omitempty"`
	Held        *heldState `json:"held,omitempty"` // a backup that is being made, or was cut off
	// Dropped says why a head of the series is pinned no more.
	Dropped string `json:"dropped,omitempty"`
}

type headState struct {
	BackupNum int       `json:"backup_num"`
	Digest    string    `json:"digest"`
	ReadTs    uint64    `json:"read_ts"`
	At        time.Time `json:"at"` // when the pin was set
	// StoreBytes is how large the store was then; 0 where that was not written down.
	StoreBytes int64 `json:"store_bytes,omitempty"`
}

func (h *headState) is(head backup.Head) bool {
	return h != nil && h.Digest == head.Digest && h.ReadTs == head.ReadTs && h.BackupNum == head.BackupNum
}

// pin returns the ts after which deletes must stay visible, and at which all
// must stay readable while a backup is held.
func (s *seriesState) pin() (ts uint64, ok bool) {
	for _, head := range []*headState{s.Committed, s.Pending} {
		if head != nil && (!ok || head.ReadTs < ts) {
			ts, ok = head.ReadTs, true
		}
	}
	if s.Held != nil && (!ok || s.Held.ReadTs < ts) {
		ts, ok = s.Held.ReadTs, true
	}
	return ts, ok
}

// promoted returns s with the pending head committed. What is held of it stays
// until its notes are gone.
func (s *seriesState) promoted(destination string) *seriesState {
	next := &seriesState{BackupID: s.BackupID, Destination: destination, Committed: s.Pending}
	if s.Held != nil && s.Held.ReadTs == s.Pending.ReadTs {
		next.Held = s.Held
	}
	return next
}

func encodeSeries(s *seriesState) (write, error) {
	value, err := json.Marshal(s)
	if err != nil {
		return write{}, fault.Wrap(err, "encode state of series %s", s.BackupID)
	}
	return write{localKey(spaceSeries, s.BackupID), value}, nil
}

func decodeSeries(id string, value []byte) (*seriesState, error) {
	s := &seriesState{}
	if err := json.Unmarshal(value, s); err != nil {
		return nil, fault.New(fault.Corrupt, "read state of series "+quote(id), "%w", err)
	}
	if s.BackupID != id {
		return nil, fault.New(fault.Corrupt, "read state of series "+quote(id), "it is that of series %s", quote(s.BackupID))
	}
	return s, nil
}

// seriesChange writes states and removes series, and takes both over in the
// tracker when that is durable.
func (t *tracker) seriesChange(states []*seriesState, removed []string) ([]write, func(), error) {
	writes := make([]write, 0, len(states)+len(removed))
	for _, state := range states {
		w, err := encodeSeries(state)
		if err != nil {
			return nil, nil, err
		}
		writes = append(writes, w)
	}
	for _, id := range removed {
		writes = append(writes, write{localKey(spaceSeries, id), nil})
	}
	return writes, func() {
		for _, state := range states {
			t.series[state.BackupID] = state
		}
		for _, id := range removed {
			delete(t.series, id)
		}
	}, nil
}

// state returns what is known of a series, or nil.
func (t *tracker) state(id string) *seriesState {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.series[id]
}

// prepareHead makes head the pending one of its series.
func (t *tracker) prepareHead(head backup.Head, now time.Time, storeBytes int64) ([]write, func(), error) {
	old := t.state(head.BackupID)
	state := &seriesState{
		BackupID: head.BackupID, Destination: head.Destination,
		Pending: &headState{head.BackupNum, head.Digest, head.ReadTs, now, storeBytes},
	}
	if head.BackupNum > 1 {
		if reason := old.notParentOf(head); reason != "" {
			return nil, nil, fault.New(fault.Mixed, "extend the series", "%s", reason).
				WithHint("take a full backup")
		}
		state.Committed = old.Committed
	}
	if old != nil && old.Held != nil && old.Held.ReadTs == head.ReadTs {
		state.Held = old.Held // it may still be cut off before its manifest
	}
	return t.seriesChange([]*seriesState{state}, nil)
}

// notParentOf says why an incremental head cannot stand on s, or returns "": its
// parent's pin must have been held all the time while head was being made.
func (s *seriesState) notParentOf(head backup.Head) string {
	switch {
	case s == nil:
		return "the record of its series is gone: deletes since its parent may have been lost"
	case s.Committed == nil && s.Dropped != "":
		return s.Dropped
	case s.Committed == nil || s.Committed.BackupNum != head.BackupNum-1 || s.Committed.ReadTs >= head.ReadTs:
		return "another backup of the series was made meanwhile"
	}
	return ""
}

// commitHead makes the pending head of a series its committed one, and forgets
// the other series at the same destination: a destination extends its newest
// series only.
func (t *tracker) commitHead(head backup.Head) ([]write, func(), error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.series[head.BackupID]
	var states []*seriesState
	switch {
	case old != nil && old.Pending.is(head):
		states = append(states, old.promoted(head.Destination))
	case old != nil && old.Committed.is(head): // said again, or found by Extendable
	default:
		return nil, nil, fault.New(fault.NotFound, "accept it", "it was not prepared")
	}
	var removed []string
	for id, other := range t.series {
		if id != head.BackupID && other.Destination == head.Destination {
			removed = append(removed, id)
		}
	}
	return t.seriesChange(states, removed)
}

// expiryDue reports whether a pin is too old, or too dear, by now.
func (t *tracker) expiryDue(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.expired(now)) > 0
}

// dropExpired takes the pins off the heads that are too old. The states stay,
// to say why the series cannot be extended.
func (t *tracker) dropExpired(now time.Time) ([]write, func(), error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.seriesChange(t.expired(now), nil)
}

// expired returns the new states of the series with a pin that is too old.
// Called with the lock.
func (t *tracker) expired(now time.Time) []*seriesState {
	if t.backups > 0 || len(t.series) == 0 {
		return nil
	}
	grown := t.grown()
	// why a pin is to go, or "".
	due := func(at time.Time, storeBytes int64) string {
		switch {
		case t.pinMaxAge >= 0 && now.Sub(at) >= t.pinMaxAge:
			return fmt.Sprintf("its delete pin was dropped after %s", ageText(t.pinMaxAge))
		case t.pinMaxGrowth > 0 && storeBytes > 0 && grown-storeBytes >= t.pinMaxGrowth:
			return fmt.Sprintf("its delete pin was dropped when the store had grown by %d MiB", t.pinMaxGrowth>>20)
		}
		return ""
	}
	var states []*seriesState
	for _, s := range t.series {
		next := *s
		for _, head := range []**headState{&next.Committed, &next.Pending} {
			if h := *head; h != nil {
				if reason := due(h.At, h.StoreBytes); reason != "" {
					*head, next.Dropped = nil, reason
				}
			}
		}
		if s.Held != nil {
			if reason := due(s.Held.At, 0); reason != "" {
				next.Held, next.Dropped = nil, cmp.Or(next.Dropped, reason)
			}
		}
		if next != *s {
			states = append(states, &next)
		}
	}
	return states
}

// grown returns the size of the store, where that counts.
func (t *tracker) grown() int64 {
	if t.pinMaxGrowth <= 0 {
		return 0
	}
	return t.size()
}

// ageText returns a duration as people say it: "7 days", "36h0m0s".
func ageText(age time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case age == day:
		return "1 day"
	case age > 0 && age%day == 0:
		return fmt.Sprintf("%d days", age/day)
	}
	return age.String()
}
