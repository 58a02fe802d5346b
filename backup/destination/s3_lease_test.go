package destination_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/destination/destinationtest"
	"github.com/brockdb/brock/backup/fault"
)

// TestS3Lease holds the lease at servers of S3: many ask for it and one has it;
// a holder that dies is waited for; one that lost it is told, and what it
// renews does not count.
func TestS3Lease(t *testing.T) {
	for name, start := range map[string]func(testing.TB) *s3Server{"minio": startMinIO, "versity": startVersity} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := start(t)
			t.Run("one of many", func(t *testing.T) { testLeaseOfMany(t, server.open(t, destination.Options{})) })
			t.Run("lost", func(t *testing.T) { testLeaseLost(t, server.open(t, destination.Options{})) })
		})
	}
}

func testLeaseOfMany(t *testing.T, d destination.Destination) {
	const holders = 8
	var held, turns atomic.Int64
	var all sync.WaitGroup
	for i := range holders {
		all.Go(func() {
			for {
				l, err := destination.AcquireLease(t.Context(), d, destination.LeaseOptions{Owner: fmt.Sprint("holder ", i)})
				if fault.Is(err, fault.Locked) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if held.Add(1) != 1 {
					t.Error("two hold the lease")
				}
				if err := l.Check(t.Context()); err != nil {
					t.Error(err)
				}
				held.Add(-1)
				turns.Add(1)
				if err := l.Release(t.Context()); err != nil {
					t.Error(err)
				}
				return
			}
		})
	}
	all.Wait()
	if turns.Load() != holders {
		t.Errorf("%d of %d had a turn", turns.Load(), holders)
	}
}

// testLeaseLost has a second holder whose clock is far ahead: for it the first
// has died.
func testLeaseLost(t *testing.T, d destination.Destination) {
	ctx := t.Context()
	first, err := destination.AcquireLease(ctx, d, destination.LeaseOptions{Owner: "the first"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = destination.AcquireLease(ctx, d, destination.LeaseOptions{Owner: "too early"})
	if !fault.Is(err, fault.Locked) {
		t.Errorf("got %v", err)
	}
	later := func() time.Time { return time.Now().Add(time.Hour) }
	second, err := destination.AcquireLease(ctx, d, destination.LeaseOptions{Owner: "the second", Now: later})
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Check(ctx); !fault.Is(err, fault.Locked) {
		t.Errorf("who lost the lease is told %v", err)
	}
	select {
	case <-first.Lost():
	case <-ctx.Done():
		t.Error("who lost the lease is not told")
	}
	if err := second.Check(ctx); err != nil {
		t.Error(err)
	}
	for _, l := range []*destination.Lease{first, second} {
		if err := l.Release(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
	}
	if left := destinationtest.Names(t, d, "brock.lease"); len(left) != 1 {
		t.Errorf("left: %q", left)
	}
}
