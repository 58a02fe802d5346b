package destination

import (
	"context"
	"time"

	"github.com/brockdb/brock/backup/fault"
)

// errTooSlow is why a lease expired whose renewals did not fail.
var errTooSlow = &fault.Error{Op: "renew it in time", Hint: "the destination or this machine was too slow, or slept: start again"}

// start begins to renew the lease and to watch its expiry. The watch is a timer
// of its own: a renewal may hang in a system call on a dead NFS server.
func (l *Lease) start(ctx context.Context) {
	ctx, l.cancel = context.WithCancel(context.WithoutCancel(ctx))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expiry = time.AfterFunc(l.expires.Sub(l.now()), l.loseExpired)
	go l.keep(ctx)
}

// keep renews until the lease is released or lost; after a failure it tries
// again sooner.
func (l *Lease) keep(ctx context.Context) {
	defer close(l.done)
	timer := time.NewTimer(l.ttl / 3)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		err := l.renew(ctx)
		l.mu.Lock()
		l.renewErr = err
		l.mu.Unlock()
		if err != nil {
			timer.Reset(l.ttl / 10)
		} else {
			timer.Reset(l.ttl / 3)
		}
	}
}

// renew extends the lease unless it is lost.
func (l *Lease) renew(ctx context.Context) error {
	if err := l.Check(ctx); err != nil {
		return err
	}
	l.mu.Lock()
	record := l.record
	l.mu.Unlock()
	now := l.now() // before the write, however long that takes
	expires := now.Add(l.ttl)
	record.RenewedAt, record.ExpiresAt = now.UTC(), expires.UTC()
	if err := writeLease(ctx, l.dest, l.epoch, Replace, &record); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lostErr == nil {
		l.record, l.expires = record, expires
		l.expiry.Reset(expires.Sub(l.now()))
	}
	return nil
}

// Check asks the destination whether the lease is still held. The error is of
// kind Locked when it is lost, to whom if that is known, or released; another
// kind means that the destination could not tell.
func (l *Lease) Check(ctx context.Context) error {
	if err := l.checkHere(); err != nil {
		return err
	}
	op := "keep the lease of " + l.dest.String()
	newest, ok, err := newestLease(ctx, l.dest)
	if err != nil {
		return fault.Wrap(err, "%s", op)
	}
	if !ok || newest.epoch < l.epoch {
		return l.lose(fault.New(fault.Locked, op, "somebody removed %s", leaseName(l.epoch)))
	}
	holder, err := readLease(ctx, l.dest, newest.epoch)
	switch {
	case newest.epoch > l.epoch && err != nil:
		return l.lose(fault.New(fault.Locked, op, "lease lost to a holder that cannot be read: %w", err))
	case newest.epoch > l.epoch:
		return l.lose(fault.New(fault.Locked, op, "lease lost to %s at %s", holder, stampText(holder.AcquiredAt)))
	case err != nil && !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Corrupt):
		return fault.Wrap(err, "%s", op)
	case err != nil:
		return l.lose(fault.New(fault.Locked, op, "its object is no longer ours: %w", err))
	case holder.Nonce != l.nonce || holder.Released:
		return l.lose(fault.New(fault.Locked, op, "somebody changed %s", leaseName(l.epoch)))
	}
	return l.checkHere() // asking may have taken long
}

// checkHere says what can be known without asking the destination.
func (l *Lease) checkHere() error {
	l.mu.Lock()
	lostErr, released, expires := l.lostErr, l.released, l.expires
	l.mu.Unlock()
	switch {
	case lostErr != nil:
		return lostErr
	case released:
		return fault.New(fault.Locked, "keep the lease of "+l.dest.String(), "it was released")
	case isPast(expires, l.now()):
		l.loseExpired()
		return l.checkHere()
	}
	return nil
}

// isPast compares by both clocks: the monotonic one stands still while the
// machine sleeps, the other may be set back.
func isPast(t, now time.Time) bool {
	return !now.Before(t) || !now.Round(0).Before(t.Round(0))
}

// loseExpired gives the lease up because its time has run out. A renewal that
// came in between is respected.
func (l *Lease) loseExpired() {
	l.mu.Lock()
	since, cause, past := l.record.RenewedAt, l.renewErr, isPast(l.expires, l.now())
	if !past {
		l.expiry.Reset(l.expires.Sub(l.now()))
	}
	l.mu.Unlock()
	if !past {
		return
	}
	if cause == nil {
		cause = errTooSlow
	}
	lost := fault.New(fault.Locked, "keep the lease of "+l.dest.String(),
		"lease lost: not renewed since %s: %w", stampText(since), cause)
	lost.Hint = fault.HintOf(cause)
	_ = l.lose(lost) // who asks next is told
}

// lose records why the lease is lost, unless it was before, and returns the
// first reason.
func (l *Lease) lose(cause error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lostErr == nil {
		l.lostErr = cause
		close(l.lost)
		l.cancel()
	}
	return l.lostErr
}

// Lost returns a channel that is closed when the lease could not be renewed
// until it expired, or when somebody else was seen to hold it. Check says why.
func (l *Lease) Lost() <-chan struct{} { return l.lost }

// Release gives the lease back, so that others need not wait for its expiry.
// It must be called, whatever Lost and Check said; after the lease was lost, or
// when it is called again, it does nothing. ctx must not be the canceled context
// of the work the lease was for.
func (l *Lease) Release(ctx context.Context) error {
	l.cancel()
	select {
	case <-l.done:
	case <-ctx.Done():
		return &fault.Error{Kind: fault.Canceled, Op: "release the lease of " + l.dest.String(), Err: ctx.Err()}
	}
	l.expiry.Stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.released || l.lostErr != nil {
		return nil
	}
	if err := l.markReleased(ctx); err != nil {
		return fault.Wrap(err, "release the lease of %s", l.dest)
	}
	l.released = true
	return nil
}
