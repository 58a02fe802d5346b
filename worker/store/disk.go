package store

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/brockdb/brock/backup/fault"
)

// disk is what is known of the disk of a store. Badger flushes and compacts in
// the background and tells its failures to the log alone; it goes on trying, and
// in the end lets the writers wait for ever. Here they are counted, and the store
// is ended when it cannot go on.
type disk struct {
	now    func() time.Time
	broken chan struct{} // closed when the store has failed for good
	wake   func()        // lets the committer see that

	patience, closePatience time.Duration // shorter in tests

	acknowledged atomic.Uint64 // the newest commit that was

	mu      sync.Mutex
	failure error // for good
	trouble error // Badger's last failure
	since   time.Time
	last    time.Time // of trouble
	count   uint64
	begun   time.Time // of the commit under way; zero for none
}

const (
	// troubleLasts is for how long a failure of Badger counts, which tries again
	// every second or sooner.
	troubleLasts = 10 * time.Second
	// commitPatience is how long a commit may wait for a disk that fails. A disk
	// that is only slow is waited for, and told of.
	commitPatience = 10 * time.Second
)

func newDisk(now func() time.Time, wake func()) *disk {
	return &disk{now: now, wake: wake, broken: make(chan struct{}), patience: commitPatience, closePatience: closePatience}
}

// DiskHealth is how it stands with the disk of a store.
type DiskHealth struct {
	// Failed says why the store takes no more writes until it is opened again; nil
	// while it does.
	Failed error
	// Trouble says what Badger could not write lately and tries again, that a commit
	// does not come to its end, or that the disk is full; nil when all is well.
	Trouble error
	Since   time.Time // of either; zero when all is well
	Errors  uint64    // failures of Badger's background work since Open
}

// Disk returns how it stands with the disk.
func (s *Store) Disk() DiskHealth {
	h := s.disk.health()
	if h.Failed == nil && h.Trouble == nil {
		if err := s.committer.room(size{}, false); err != nil {
			h.Trouble, h.Since = err, s.now()
		}
	}
	return h
}

// Broken is closed when the store has failed for good: Disk says why. What then
// waits to be committed is refused, and the store should be closed.
func (s *Store) Broken() <-chan struct{} { return s.disk.broken }

func (d *disk) health() DiskHealth {
	d.mu.Lock()
	defer d.mu.Unlock()
	h := DiskHealth{Failed: d.failure, Errors: d.count}
	now := d.now()
	switch waits := now.Sub(d.begun); {
	case d.failure != nil:
		h.Since = d.since
	case d.trouble != nil && now.Sub(d.last) < troubleLasts:
		h.Trouble, h.Since = d.trouble, d.since
	case !d.begun.IsZero() && waits >= d.patience:
		h.Trouble = fault.New(fault.Other, "commit batch", "the disk has not written it for %v", waits.Round(time.Second)).
			WithHint("look after the disk")
		h.Since = d.begun
	}
	return h
}

// failed returns why the store takes no more writes, or nil.
func (d *disk) failed() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.failure
}

// fail ends the store for good. Only the first cause counts.
func (d *disk) fail(cause error) {
	d.mu.Lock()
	first := d.failure == nil
	if first {
		d.since = d.now()
		d.failure = fault.New(fault.Other, "commit batch", "the store takes no more writes since a failure: %w", cause).
			WithHint("look after the disk, then restart; what was not acknowledged may be found committed")
		close(d.broken)
	}
	d.mu.Unlock()
	if first {
		d.wake()
	}
}

// committing notes that a commit begins, and ended that it has come to its end.
func (d *disk) committing() { d.setBegun(d.now()) }
func (d *disk) ended()      { d.setBegun(time.Time{}) }

func (d *disk) setBegun(at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.begun = at
}

// missed notes a failure of Badger's background work. When a commit has waited
// for it too long, nothing comes of waiting.
func (d *disk) missed(cause error) {
	d.mu.Lock()
	now := d.now()
	if d.trouble == nil || now.Sub(d.last) >= troubleLasts {
		d.since = now
	}
	d.trouble, d.last = cause, now
	d.count++
	stuck := !d.begun.IsZero() && now.Sub(d.begun) >= d.patience
	d.mu.Unlock()
	if stuck {
		d.fail(fmt.Errorf("a commit has waited %v for the disk: %w", d.patience, cause))
	}
}

// What Badger logs when background work fails (db.go and levels.go of v4.9).
const (
	flushFailed   = "error flushing memtable to disk"
	dropFailed    = "While trying to flush memtable"
	compactFailed = "[Compactor: %d] LOG Compact FAILED"
	reapFailed    = "While running compact def"
	unlinkFailed  = "while deleting file"
)

// failedWork tells what a line of Badger's log says of its background work:
// whether some failed, and whether the change of its MANIFEST did. Then the
// tables that were made are removed again, while the MANIFEST may name them.
func failedWork(format, line string) (failed, manifest bool) {
	switch {
	case strings.HasPrefix(format, flushFailed), strings.HasPrefix(format, dropFailed):
		return true, !strings.Contains(line, "error while creating table")
	case strings.HasPrefix(format, compactFailed), strings.HasPrefix(format, reapFailed):
		if strings.Contains(line, "there is a non-empty level") { // tried too early
			return false, false
		}
		return true, !strings.Contains(line, "while running compactions for")
	}
	return strings.HasPrefix(format, unlinkFailed), false
}

// closePatience is how long closing a store that failed may take: on a disk that
// takes nothing Badger tries for ever.
const closePatience = 5 * time.Second

// errNotClosed is what Close returns then. The directory stays locked until the
// process ends.
var errNotClosed = errors.New("its disk does not take what is in memory; what was acknowledged is in its log")

// unlessBroken returns what fn returns, or errNotClosed when the store has failed
// and fn takes too long.
func (d *disk) unlessBroken(fn func() error) error {
	done := make(chan error, 1)
	go func() { done <- fn() }()
	select {
	case err := <-done:
		return err
	case <-d.broken:
	}
	timer := time.NewTimer(d.closePatience)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return errNotClosed
	}
}
