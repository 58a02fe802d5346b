package destination_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/destination/destinationtest"
	"github.com/brockdb/brock/backup/fault"
)

const (
	ttl    = time.Minute      // the default
	margin = 15 * time.Second // for the clocks of two hosts
)

// acquire takes the lease and releases it at the end of the test.
func acquire(t *testing.T, d destination.Destination, owner string) *destination.Lease {
	t.Helper()
	l, err := destination.AcquireLease(t.Context(), d, destination.LeaseOptions{Owner: owner, Purpose: "backup"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Release(context.Background()); err != nil {
			t.Errorf("release: %v", err)
		}
	})
	return l
}

func release(t *testing.T, l *destination.Lease) {
	t.Helper()
	if err := l.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// wantLocked tries to take the lease and returns the error of kind Locked.
func wantLocked(t *testing.T, d destination.Destination) error {
	t.Helper()
	_, err := destination.AcquireLease(t.Context(), d, destination.LeaseOptions{Owner: "other"})
	if !fault.Is(err, fault.Locked) {
		t.Fatalf("got %v (%v), want an error of kind locked", err, fault.KindOf(err))
	}
	return err
}

func wantLost(t *testing.T, l *destination.Lease, cause string) {
	t.Helper()
	err := l.Check(t.Context())
	if !fault.Is(err, fault.Locked) || !strings.Contains(err.Error(), cause) {
		t.Errorf("check returned %v, want %q of kind locked", err, cause)
	}
	if !isLost(l) {
		t.Error("Lost is not closed")
	}
}

func wantHeld(t *testing.T, l *destination.Lease) {
	t.Helper()
	if err := l.Check(t.Context()); err != nil {
		t.Errorf("check: %v", err)
	}
	if isLost(l) {
		t.Error("Lost is closed")
	}
}

func isLost(l *destination.Lease) bool {
	select {
	case <-l.Lost():
		return true
	default:
		return false
	}
}

// foreignLease returns a lease of another host, taken at start.
func foreignLease(start time.Time) map[string]any {
	return map[string]any{
		"owner": "alpha-9", "purpose": "prune", "nonce": "n", "host": "elsewhere", "pid": 99,
		"acquired_at": start, "renewed_at": start, "expires_at": start.Add(ttl), "released": false,
	}
}

func putLease(t *testing.T, d destination.Destination, epoch uint64, lease map[string]any) {
	t.Helper()
	data, err := json.Marshal(lease)
	if err != nil {
		t.Fatal(err)
	}
	destinationtest.Put(t, d, leaseObject(epoch), data)
}

func leaseObject(epoch uint64) string { return fmt.Sprintf("brock.lease/%020d", epoch) }

func wantLeases(t *testing.T, d destination.Destination, epochs ...uint64) {
	t.Helper()
	var want []string
	for _, epoch := range epochs {
		want = append(want, leaseObject(epoch))
	}
	if got := destinationtest.Names(t, d, ""); !slices.Equal(got, want) {
		t.Errorf("the destination has %q, want %q", got, want)
	}
}

func TestLeaseExcludes(t *testing.T) {
	d := newDir(t)
	first := acquire(t, d, "alpha-1")
	wantHeld(t, first)
	err := wantLocked(t, d)
	host, _ := os.Hostname() // its failure would have failed AcquireLease
	for _, part := range []string{"cannot lock " + d.String() + ": held by alpha-1", "on " + host,
		fmt.Sprintf("pid %d", os.Getpid()), "backup", "since 2", "until 2"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in the error %q", part, err)
		}
	}
	if hint := fault.HintOf(err); !strings.Contains(hint, leaseObject(1)) || !strings.Contains(hint, "free at 2") {
		t.Errorf("the hint is %q", hint)
	}
	release(t, first)
	if err := first.Check(t.Context()); !fault.Is(err, fault.Locked) || !strings.Contains(err.Error(), "released") {
		t.Errorf("check after release: %v", err)
	}
	release(t, first) // again
	second := acquire(t, d, "alpha-2")
	if first.Epoch() != 1 || second.Epoch() != 2 {
		t.Errorf("epochs %d and %d", first.Epoch(), second.Epoch())
	}
	wantHeld(t, second)
	wantLeases(t, d, 2)
	if text := second.String(); !strings.HasPrefix(text, "lease 2 of "+d.String()+", alpha-2 on "+host) {
		t.Errorf("String: %s", text)
	}
}

func TestLeaseOptions(t *testing.T) {
	for _, opts := range []destination.LeaseOptions{
		{}, {Owner: "a", TTL: -1}, {Owner: "a", TTL: time.Millisecond}, {Owner: "a", TTL: 25 * time.Hour},
		{Owner: "a\n"}, {Owner: strings.Repeat("a", 300)}, {Owner: "a", Purpose: "\x1b"},
	} {
		d := newDir(t)
		if _, err := destination.AcquireLease(t.Context(), d, opts); !fault.Is(err, fault.Usage) {
			t.Errorf("%+v: %v", opts, err)
		}
		wantLeases(t, d)
	}
}

func TestLeaseIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := destinationtest.NewFaulty(newDir(t))
		l := acquire(t, f, "alpha-1")
		for range 60 {
			time.Sleep(ttl / 2)
			wantHeld(t, l)
			_ = wantLocked(t, f)
		}
		release(t, l)
		before := f.Count(destinationtest.AnyOp)
		time.Sleep(time.Hour)
		if after := f.Count(destinationtest.AnyOp); after != before {
			t.Errorf("%d calls after the release", after-before)
		}
		wantLeases(t, f, 1)
	})
}

func TestLeaseOfDeadHostExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDir(t)
		putLease(t, d, 41, foreignLease(time.Now()))
		time.Sleep(ttl + margin - time.Nanosecond)
		if err := wantLocked(t, d); !strings.Contains(err.Error(), "held by alpha-9 on elsewhere (pid 99, prune)") {
			t.Errorf("the error is %q", err)
		}
		time.Sleep(time.Nanosecond)
		if l := acquire(t, d, "alpha-1"); l.Epoch() != 42 {
			t.Errorf("epoch %d", l.Epoch())
		}
		wantLeases(t, d, 42)
	})
}

func TestLeaseReleasedElsewhere(t *testing.T) {
	d := newDir(t)
	lease := foreignLease(time.Now())
	lease["released"] = true
	putLease(t, d, 7, lease)
	destinationtest.Put(t, d, "brock.lease/README", []byte("not a lease"))
	if l := acquire(t, d, "alpha-1"); l.Epoch() != 8 {
		t.Errorf("epoch %d", l.Epoch())
	}
	want := []string{leaseObject(8), "brock.lease/README"}
	if got := destinationtest.Names(t, d, ""); !slices.Equal(got, want) {
		t.Errorf("the destination has %q", got)
	}
}

func TestLeaseLostWhenStorageIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := destinationtest.NewFaulty(newDir(t))
		l := acquire(t, f, "alpha-1")
		time.Sleep(ttl / 2) // one renewal, at ttl/3
		f.FailAfter(0, fault.New(fault.NoSpace, "write x", "full").WithHint("free space"))
		renewed := time.Now().Add(ttl/3 - ttl/2)
		if err := l.Check(t.Context()); !fault.Is(err, fault.NoSpace) {
			t.Errorf("check could not ask, and returned %v", err)
		}
		<-l.Lost()
		if got, want := time.Since(renewed), ttl; got != want {
			t.Errorf("lost %v after the last renewal, want %v", got, want)
		}
		wantLost(t, l, "not renewed since "+renewed.UTC().Format(time.RFC3339))
		if err := l.Check(t.Context()); !strings.Contains(err.Error(), "full") || fault.HintOf(err) != "free space" {
			t.Errorf("the cause is not in %v, hint %q", err, fault.HintOf(err))
		}
		f.Heal()
		wantLost(t, l, "not renewed") // for good
		release(t, l)
	})
}

func TestLeaseSurvivesFailedRenewals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := destinationtest.NewFaulty(newDir(t))
		l := acquire(t, f, "alpha-1")
		for n := range 12 { // every call of a renewal fails once, in turn
			f.FailNth(destinationtest.AnyOp, n+1, errors.New("hiccup"))
			time.Sleep(2 * ttl)
			wantHeld(t, l)
			f.Heal()
		}
		f.Add(destinationtest.Rule{Op: destinationtest.OpCommit, Nth: 1, Late: true, Err: errors.New("answer lost")})
		time.Sleep(2 * ttl)
		wantHeld(t, l)
	})
}

// hanging is a destination whose commits hang, as on a dead NFS server.
type hanging struct {
	destination.Destination
	gate chan struct{}
}

func (h hanging) Create(ctx context.Context, name string, mode destination.Mode) (destination.Writer, error) {
	<-h.gate
	return h.Destination.Create(ctx, name, mode)
}

func TestLeaseLostWhileRenewalHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hanging{newDir(t), make(chan struct{}, 1)}
		h.gate <- struct{}{} // one commit passes
		l, err := destination.AcquireLease(t.Context(), h, destination.LeaseOptions{Owner: "alpha-1"})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		<-l.Lost()
		if got := time.Since(start); got != ttl {
			t.Errorf("lost after %v", got)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := l.Release(ctx); !fault.Is(err, fault.Canceled) {
			t.Errorf("release while a renewal hangs: %v", err)
		}
		close(h.gate)
		release(t, l)
		wantLost(t, l, "not renewed")
	})
}

func TestLeaseLostToAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDir(t)
		l := acquire(t, d, "alpha-1")
		putLease(t, d, 2, foreignLease(time.Now()))
		<-l.Lost() // the next renewal sees it
		wantLost(t, l, "lost to alpha-9 on elsewhere (pid 99, prune)")
		release(t, l)
		wantLeases(t, d, 1, 2)
	})
}

func TestLeaseCheckAsks(t *testing.T) {
	released := foreignLease(time.Now())
	released["released"] = true
	for name, test := range map[string]struct {
		harm  func(t *testing.T, d destination.Destination)
		cause string
	}{
		"a newer lease": {func(t *testing.T, d destination.Destination) {
			putLease(t, d, 2, foreignLease(time.Now()))
		}, "lost to alpha-9"},
		"a newer lease, released": {func(t *testing.T, d destination.Destination) { putLease(t, d, 3, released) }, "lost to alpha-9"},
		"a newer lease, unreadable": {func(t *testing.T, d destination.Destination) {
			destinationtest.Put(t, d, leaseObject(2), []byte("?"))
		}, "cannot be read"},
		"its object replaced": {func(t *testing.T, d destination.Destination) {
			putLease(t, d, 1, foreignLease(time.Now()))
		}, "somebody changed"},
		"its object damaged": {func(t *testing.T, d destination.Destination) {
			destinationtest.Put(t, d, leaseObject(1), nil)
		}, "no longer ours"},
		"its object removed": {func(t *testing.T, d destination.Destination) {
			if err := d.Remove(t.Context(), leaseObject(1)); err != nil {
				t.Fatal(err)
			}
		}, "somebody removed " + leaseObject(1)},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDir(t)
			l := acquire(t, d, "alpha-1")
			test.harm(t, d)
			wantLost(t, l, test.cause)
		})
	}
}

// TestLeaseMachineSlept lets the wall clock alone run on, as the sleep of a
// machine does.
func TestLeaseMachineSlept(t *testing.T) {
	d := newDir(t)
	var mu sync.Mutex
	now := time.Now().Round(0)
	clock := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}
	l, err := destination.AcquireLease(t.Context(), d, destination.LeaseOptions{Owner: "alpha-1", Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	wantHeld(t, l)
	mu.Lock()
	now = now.Add(ttl)
	mu.Unlock()
	wantLost(t, l, "not renewed since")
	release(t, l)
}

func TestLeaseUnreadable(t *testing.T) {
	root := t.TempDir()
	d, err := destination.NewDir(root)
	if err != nil {
		t.Fatal(err)
	}
	destinationtest.Put(t, d, leaseObject(5), []byte(`{"owner":`))
	if err := wantLocked(t, d); !strings.Contains(err.Error(), "unreadable") {
		t.Errorf("the error is %q", err)
	}
	old := time.Now().Add(-ttl - margin)
	if err := os.Chtimes(filepath.Join(root, leaseObject(5)), old, old); err != nil {
		t.Fatal(err)
	}
	if l := acquire(t, d, "alpha-1"); l.Epoch() != 6 {
		t.Errorf("epoch %d", l.Epoch())
	}
}

func TestLeaseLastEpoch(t *testing.T) {
	d := newDir(t)
	const last = 1<<64 - 1
	lease := foreignLease(time.Now())
	lease["released"] = true
	putLease(t, d, last, lease)
	_, err := destination.AcquireLease(t.Context(), d, destination.LeaseOptions{Owner: "alpha-1"})
	wantFault(t, err, fault.Corrupt, "cannot lock ")
	wantLeases(t, d, last)
}
