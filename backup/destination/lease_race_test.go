package destination_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/destination/destinationtest"
	"github.com/brockdb/brock/backup/fault"
)

func TestLeaseRace(t *testing.T) {
	d := newDir(t)
	const rounds, rivals = 5, 20
	for round := range rounds {
		leases := make([]*destination.Lease, rivals)
		errs := make([]error, rivals)
		var wg sync.WaitGroup
		for i := range rivals {
			wg.Go(func() {
				leases[i], errs[i] = destination.AcquireLease(t.Context(), d,
					destination.LeaseOptions{Owner: fmt.Sprintf("alpha-%d", i)})
			})
		}
		wg.Wait()
		var winner *destination.Lease
		for i, err := range errs {
			switch {
			case err == nil && winner != nil:
				t.Fatalf("round %d: two hold the lease", round)
			case err == nil:
				winner = leases[i]
			case !fault.Is(err, fault.Locked):
				t.Errorf("round %d: %v", round, err)
			}
		}
		if winner == nil {
			t.Fatalf("round %d: nobody holds the lease", round)
		}
		wantHeld(t, winner)
		release(t, winner)
	}
}

// interrupted runs a function once, before it creates the first object.
type interrupted struct {
	destination.Destination
	between func()
}

func (i *interrupted) Create(ctx context.Context, name string, mode destination.Mode) (destination.Writer, error) {
	if between := i.between; between != nil {
		i.between = nil
		between()
	}
	return i.Destination.Create(ctx, name, mode)
}

// TestLeaseStalledRival looks at the lease, stalls while two others take it one
// after the other and remove what it saw, and then creates an epoch that is free
// again, but too low.
func TestLeaseStalledRival(t *testing.T) {
	d := newDir(t)
	release(t, acquire(t, d, "alpha-0"))
	var holder *destination.Lease
	stalled := &interrupted{Destination: d, between: func() {
		release(t, acquire(t, d, "alpha-1"))
		holder = acquire(t, d, "alpha-2")
		wantLeases(t, d, 3)
	}}
	err := wantLocked(t, stalled)
	if !strings.Contains(err.Error(), "alpha-2") {
		t.Errorf("the error is %q", err)
	}
	wantHeld(t, holder)
	wantLeases(t, d, 3)
}

// TestLeaseSleeperWritesLate is a renewal that was on its way when the lease went
// to another, and arrives with times that are not over.
func TestLeaseSleeperWritesLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDir(t)
		release(t, acquire(t, d, "alpha-1"))
		l := acquire(t, d, "alpha-2")
		putLease(t, d, 1, foreignLease(time.Now()))
		wantHeld(t, l)
		time.Sleep(ttl / 2)
		release(t, l)
		wantHeld(t, acquire(t, d, "alpha-3"))
		wantLeases(t, d, 3)
	})
}

// sweeping is a destination where a new holder tidies up just when a rival is
// about to commit.
type sweeping struct {
	destination.Destination
	times int
}

func (s *sweeping) Create(ctx context.Context, name string, mode destination.Mode) (destination.Writer, error) {
	w, err := s.Destination.Create(ctx, name, mode)
	if s.times > 0 && err == nil {
		s.times--
		err = destination.RemoveDebris(ctx, s.Destination, "brock.lease")
	}
	return w, err
}

func TestLeaseDebris(t *testing.T) {
	root := t.TempDir()
	d := dirAt(t, root)
	release(t, acquire(t, d, "alpha-1"))
	left, err := d.Create(t.Context(), "brock.lease/left", destination.Exclusive)
	if err != nil {
		t.Fatal(err)
	}
	l := acquire(t, &sweeping{d, 2}, "alpha-2")
	wantHeld(t, l)
	entries, err := os.ReadDir(filepath.Join(root, "brock.lease"))
	if err != nil || len(entries) != 1 {
		t.Errorf("the folder has %v, %v", entries, err)
	}
	if err := left.Abort(); err != nil {
		t.Error(err)
	}
}

// TestLeaseAnswerLost is a storage that carries out the creation, loses the
// answer, and gets the request again from a layer that retries.
func TestLeaseAnswerLost(t *testing.T) {
	f := destinationtest.NewFaulty(newDir(t))
	exists := fault.New(fault.Exists, "commit x", "it exists")
	f.Add(destinationtest.Rule{Op: destinationtest.OpCommit, Nth: 1, Late: true, Err: exists})
	l := acquire(t, f, "alpha-1")
	wantHeld(t, l)
	if l.Epoch() != 1 {
		t.Errorf("epoch %d", l.Epoch())
	}
}

// TestLeaseAcquireFails makes every call of an acquisition fail, before and
// after it is carried out: the next one must not find the lease taken.
func TestLeaseAcquireFails(t *testing.T) {
	hiccup := errors.New("hiccup")
	for _, late := range []bool{false, true} {
		for n := 1; ; n++ {
			f := destinationtest.NewFaulty(newDir(t))
			release(t, acquire(t, f, "alpha-0"))
			before := f.Count(destinationtest.AnyOp)
			f.Add(destinationtest.Rule{Nth: n, Late: late, Err: hiccup})
			l, err := destination.AcquireLease(t.Context(), f, destination.LeaseOptions{Owner: "alpha-1"})
			calls := f.Count(destinationtest.AnyOp) - before
			f.Heal()
			if err == nil {
				release(t, l)
			} else if !errors.Is(err, hiccup) || !strings.HasPrefix(err.Error(), "cannot lock ") {
				t.Errorf("call %d: %v", n, err)
			}
			wantHeld(t, acquire(t, f, "alpha-2"))
			if calls < n { // the rule did not apply any more
				if err != nil || n < 8 {
					t.Errorf("after %d calls: %v", calls, err)
				}
				break
			}
		}
	}
}

func TestLeaseAcquireCanceled(t *testing.T) {
	d := newDir(t)
	ctx, cancel := context.WithCancel(t.Context())
	stopped := &interrupted{Destination: d, between: cancel}
	_, err := destination.AcquireLease(ctx, stopped, destination.LeaseOptions{Owner: "alpha-1"})
	wantFault(t, err, fault.Canceled, "cannot lock ")
	wantHeld(t, acquire(t, d, "alpha-2"))
}

// TestLeaseOutlivesTheContext: the context of AcquireLease is that of the taking.
func TestLeaseOutlivesTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDir(t)
		ctx, cancel := context.WithCancel(t.Context())
		l, err := destination.AcquireLease(ctx, d, destination.LeaseOptions{Owner: "alpha-1"})
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		time.Sleep(10 * ttl)
		wantHeld(t, l)
		if err := l.Release(ctx); err != nil && !fault.Is(err, fault.Canceled) {
			t.Errorf("release with a canceled context: %v", err)
		}
		release(t, l)
		wantHeld(t, acquire(t, d, "alpha-2"))
	})
}

// TestLeaseWithoutRemoval uses credentials that may write and not delete.
func TestLeaseWithoutRemoval(t *testing.T) {
	f := destinationtest.NewFaulty(newDir(t))
	release(t, acquire(t, f, "alpha-1"))
	denied := fault.New(fault.Denied, "remove x", "not allowed")
	f.Add(destinationtest.Rule{Op: destinationtest.OpRemove, Nth: 1, Forever: true, Err: denied})
	release(t, acquire(t, f, "alpha-2"))
	l := acquire(t, f, "alpha-3")
	wantHeld(t, l)
	_ = wantLocked(t, f)
	wantLeases(t, f, 1, 2, 3)
}
