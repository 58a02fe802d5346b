package destination

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/brockdb/brock/backup/fault"
)

// A lease keeps the writers of one destination apart. It is a numbered object,
// brock.lease/<epoch>: whoever creates the next epoch, Exclusive, holds the
// lease, and extends it by replacing that object of its own. The highest epoch
// counts, and epochs only grow: releasing marks the object and keeps it. So a
// holder that slept too long can do no harm with what it still writes to its old
// epoch.
//
// A lease is advice between hosts whose clocks agree within a quarter of the
// TTL. What must never happen twice, the commit of a manifest, is decided by
// Exclusive once more; Lease.Check before it makes a collision there rare.

const (
	defaultLeaseTTL = time.Minute
	minLeaseTTL     = 10 * time.Millisecond
	acquireAttempts = 20
	giveUpTimeout   = 10 * time.Second
)

// LeaseOptions describe the holder of a lease.
type LeaseOptions struct {
	Owner   string           // who holds it, for people; required
	Purpose string           // what for, as "backup"
	TTL     time.Duration    // how long the holder may be silent; 0 means 60 s
	Now     func() time.Time // the clock, for tests; nil means time.Now
}

// Lease is held from AcquireLease until Release, or until it is lost. Its
// methods may be called from many goroutines.
type Lease struct {
	dest  Destination
	now   func() time.Time
	ttl   time.Duration
	nonce string // of the record
	epoch uint64
	taken uint64 // an epoch that exists, though a listing may not show it yet

	cancel context.CancelFunc // stops keep
	done   chan struct{}      // closed when keep has ended
	expiry *time.Timer        // calls loseExpired
	lost   chan struct{}

	mu       sync.Mutex
	record   leaseRecord
	expires  time.Time // with the monotonic clock, which record does not keep
	renewErr error     // why the last renewal failed; nil when it did not
	lostErr  error     // why the lease is lost
	released bool
}

// AcquireLease takes the lease of d and renews it, until Release, every third of
// its TTL. ctx governs the taking only.
//
// While somebody else holds it the error is of kind Locked and names the holder,
// since when, and until when unless it renews. A holder that died is waited for:
// its TTL and a quarter more. A process of this host that is gone is not.
//
// Older lease objects are removed. Where credentials may write and not delete
// (backups that an intruder cannot erase) they stay and do no harm; any other
// error of their removal gives the lease up and is returned.
func AcquireLease(ctx context.Context, d Destination, opts LeaseOptions) (*Lease, error) {
	l, err := newLease(d, opts)
	if err != nil {
		return nil, err
	}
	if err := l.acquire(ctx); err != nil {
		return nil, err
	}
	l.start(ctx)
	return l, nil
}

func newLease(d Destination, opts LeaseOptions) (*Lease, error) {
	op := "lock " + d.String()
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.TTL == 0 {
		opts.TTL = defaultLeaseTTL
	}
	if opts.TTL < minLeaseTTL || opts.TTL > maxLeaseTTL {
		return nil, fault.New(fault.Usage, op, "a TTL of %v is not between %v and %v", opts.TTL, minLeaseTTL, maxLeaseTTL)
	}
	if opts.Owner == "" {
		return nil, fault.New(fault.Usage, op, "the lease has no owner")
	}
	for _, text := range []string{opts.Owner, opts.Purpose} {
		if err := checkLeaseText(text); err != nil {
			return nil, fault.New(fault.Usage, op, "%w", err)
		}
	}
	self, err := currentProcess()
	if err != nil {
		return nil, fault.Wrap(err, "%s", op)
	}
	nonce := rand.Text()
	return &Lease{
		dest: d, now: opts.Now, ttl: opts.TTL, nonce: nonce,
		done: make(chan struct{}), lost: make(chan struct{}),
		record: leaseRecord{Owner: opts.Owner, Purpose: opts.Purpose, Nonce: nonce, process: self},
	}, nil
}

// acquire tries until it has won an epoch or met a holder. Each new attempt
// means that somebody else has just made progress.
func (l *Lease) acquire(ctx context.Context) error {
	for range acquireAttempts {
		won, err := l.try(ctx)
		if err != nil {
			return err
		}
		if won {
			return l.removeOlder(ctx)
		}
	}
	return fault.New(fault.Locked, "lock "+l.dest.String(), "too many others try at the same time").
		WithHint("try again")
}

// try looks at the newest lease and creates the next one when it is free. It
// reports false when somebody was faster.
func (l *Lease) try(ctx context.Context) (bool, error) {
	newest, ok, err := newestLease(ctx, l.dest)
	if err != nil {
		return false, fault.Wrap(err, "lock %s", l.dest)
	}
	if newest.epoch < l.taken { // an NFS client may list from its cache
		newest, ok = leaseInfo{l.taken, l.now()}, true
	}
	if ok {
		free, err := l.isFree(ctx, newest)
		if err != nil || !free {
			return false, err
		}
	}
	l.epoch = newest.epoch + 1
	l.stamp(l.now())
	err = writeLease(ctx, l.dest, l.epoch, Exclusive, &l.record)
	if errors.Is(err, errSwept) { // a new holder has tidied up
		return false, nil
	}
	if err != nil && !fault.Is(err, fault.Exists) {
		return false, l.giveUp(ctx, err)
	}
	if err != nil && !l.isOwn(ctx) {
		l.taken = l.epoch
		return false, nil
	}
	return l.isNewest(ctx)
}

// isFree reports whether the next epoch may be created. The error is of kind
// Locked when somebody holds this one.
func (l *Lease) isFree(ctx context.Context, newest leaseInfo) (bool, error) {
	op := "lock " + l.dest.String()
	if newest.epoch == math.MaxUint64 {
		return false, fault.New(fault.Corrupt, op, "the lease object %s has the last number there is", leaseName(newest.epoch)).
			WithHint("brock did not write it: remove it")
	}
	holder, err := readLease(ctx, l.dest, newest.epoch)
	switch {
	case fault.Is(err, fault.NotFound):
		l.taken = 0
		return false, nil // a newer one has replaced it: look again
	case fault.Is(err, fault.Corrupt):
		// A holder that lives replaces it soon; after that time nobody does.
		until := newest.modified.Add(l.ttl + skewMargin(l.ttl))
		if l.now().Before(until) {
			return false, l.lockedError(newest.epoch, until, "held by somebody whose lease is unreadable")
		}
		return true, nil
	case err != nil:
		return false, fault.Wrap(err, "%s", op)
	case holder.Released || !l.now().Before(holder.heldUntil()) || holder.isDead(l.record.process):
		return true, nil
	}
	return false, l.lockedError(newest.epoch, holder.heldUntil(), "held by %s since %s, until %s unless renewed",
		holder, stampText(holder.AcquiredAt), stampText(holder.ExpiresAt))
}

func (l *Lease) lockedError(epoch uint64, until time.Time, cause string, args ...any) error {
	return fault.New(fault.Locked, "lock "+l.dest.String(), cause, args...).WithHint(
		"wait until it is done; if the holder died, the destination is free at %s. "+
			"Remove %s only when you know that it died", stampText(until), leaseName(epoch))
}

// isOwn reports whether the object of our epoch is ours although its creation
// failed: an answer was lost and the request sent again.
func (l *Lease) isOwn(ctx context.Context) bool {
	r, err := readLease(ctx, l.dest, l.epoch)
	return err == nil && r.Nonce == l.nonce
}

// isNewest looks once more after the creation. Between looking and creating,
// others may have taken, released and removed epochs, ours among them: then a
// higher one exists and counts.
func (l *Lease) isNewest(ctx context.Context) (bool, error) {
	newest, ok, err := newestLease(ctx, l.dest)
	if err != nil {
		return false, l.giveUp(ctx, err)
	}
	if ok && newest.epoch == l.epoch {
		return true, nil
	}
	err = l.dest.Remove(ctx, leaseName(l.epoch))
	if err != nil && !mayStay(err) {
		return false, fault.Wrap(err, "lock %s", l.dest)
	}
	return false, nil
}

// removeOlder removes the lease objects below ours, and what died while it wrote
// one. A rival whose unfinished object goes with it looks again and finds ours.
func (l *Lease) removeOlder(ctx context.Context) error {
	leases, err := listLeases(ctx, l.dest)
	if err != nil {
		return l.giveUp(ctx, err)
	}
	for _, old := range leases {
		if old.epoch >= l.epoch {
			break
		}
		if err := l.dest.Remove(ctx, leaseName(old.epoch)); err != nil && !mayStay(err) {
			return l.giveUp(ctx, err)
		}
	}
	if err := RemoveDebris(ctx, l.dest, leaseDir); err != nil && !mayStay(err) {
		return l.giveUp(ctx, err)
	}
	return nil
}

// mayStay reports whether a lease object that could not be removed is harmless:
// somebody else has removed it, or nobody may remove anything.
func mayStay(err error) bool { return fault.Is(err, fault.NotFound) || fault.Is(err, fault.Denied) }

// giveUp ends an acquisition that failed after its object may have been created,
// so that it blocks nobody.
func (l *Lease) giveUp(ctx context.Context, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveUpTimeout)
	defer cancel()
	return fault.Wrap(also(cause, l.markReleased(ctx)), "lock %s", l.dest)
}

// markReleased marks the object of our epoch, if it is there and ours, and
// removes it where there is no room for the mark.
func (l *Lease) markReleased(ctx context.Context) error {
	r, err := readLease(ctx, l.dest, l.epoch)
	switch {
	case fault.Is(err, fault.NotFound):
		return nil
	case err != nil:
		return err
	case r.Nonce != l.nonce:
		return nil
	}
	r.Released = true
	err = writeLease(ctx, l.dest, l.epoch, Replace, r)
	if !fault.Is(err, fault.NoSpace) {
		return err
	}
	// A mark needs room, a removal does not. The next holder may take our
	// epoch's number again: nothing of ours is written to it any more.
	if err := l.dest.Remove(ctx, leaseName(l.epoch)); err != nil && !fault.Is(err, fault.NotFound) {
		return err
	}
	return nil
}

// stamp sets the times of the record for a lease taken at now.
func (l *Lease) stamp(now time.Time) {
	l.expires = now.Add(l.ttl)
	l.record.AcquiredAt, l.record.RenewedAt, l.record.ExpiresAt = now.UTC(), now.UTC(), l.expires.UTC()
}

func stampText(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// Epoch returns the number of the lease. A later lease has a higher one.
func (l *Lease) Epoch() uint64 { return l.epoch }

// String names the lease and its holder.
func (l *Lease) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Sprintf("lease %d of %s, %s", l.epoch, l.dest, &l.record)
}
