package stores

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/backuptest"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/destination/destinationtest"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/ee"
)

// TestLeases holds the lease to its promises at every kind of store.
func TestLeases(t *testing.T) {
	everyStore(t, func(t *testing.T, open opener) {
		at := func(prefix string) destination.Destination {
			return open(t, prefix, destination.Options{Retry: impatient})
		}
		t.Run("one of many", func(t *testing.T) { testLeaseRace(t, at("race")) })
		t.Run("crashed holder", func(t *testing.T) { testCrashedHolder(t, at("crash")) })
		t.Run("second writer", func(t *testing.T) { testSecondWriter(t, at("second")) })
		t.Run("robbed holder", func(t *testing.T) { testRobbedHolder(t, at("robbed")) })
	})
}

// testLeaseRace lets 20 want the lease at once: exactly one gets it, in each
// round, and the epochs grow.
func testLeaseRace(t *testing.T, d destination.Destination) {
	const rounds, rivals = 3, 20
	last := uint64(0)
	for round := range rounds {
		leases := make([]*destination.Lease, rivals)
		var wg sync.WaitGroup
		for i := range rivals {
			wg.Go(func() {
				var err error
				leases[i], err = destination.AcquireLease(t.Context(), d, destination.LeaseOptions{Owner: fmt.Sprint("alpha-", i)})
				if err != nil && !fault.Is(err, fault.Locked) {
					t.Errorf("round %d: %v", round, err)
				}
			})
		}
		wg.Wait()
		holders := 0
		for _, l := range leases {
			if l == nil {
				continue
			}
			holders++
			if err := l.Check(t.Context()); err != nil || l.Epoch() <= last {
				t.Errorf("round %d: epoch %d after %d, %v", round, l.Epoch(), last, err)
			}
			last = l.Epoch()
			if err := l.Release(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if holders != 1 {
			t.Fatalf("round %d: %d hold the lease", round, holders)
		}
	}
}

// testCrashedHolder lets a holder lose its store, as a crash looks to others:
// they are kept out until its time is over, and no longer.
func testCrashedHolder(t *testing.T, d destination.Destination) {
	const ttl = time.Second
	faulty := destinationtest.NewFaulty(d)
	held, err := destination.AcquireLease(t.Context(), faulty, destination.LeaseOptions{Owner: "crashed", TTL: ttl})
	if err != nil {
		t.Fatal(err)
	}
	faulty.Crash()
	crashed := time.Now()
	for first := true; ; first = false {
		next, err := destination.AcquireLease(t.Context(), d, destination.LeaseOptions{Owner: "next"})
		if err == nil {
			if first {
				t.Error("the lease of a crashed holder was free at once")
			}
			if err := next.Release(t.Context()); err != nil {
				t.Error(err)
			}
			break
		}
		if !fault.Is(err, fault.Locked) || !strings.Contains(err.Error(), "held by crashed on ") {
			t.Fatal(err)
		}
		if time.Since(crashed) > time.Minute {
			t.Fatalf("still held: %v", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	<-held.Lost()
	if err := held.Check(t.Context()); !fault.Is(err, fault.Locked) {
		t.Errorf("the crashed holder is told %v", err)
	}
	if err := held.Release(t.Context()); err != nil {
		t.Error(err)
	}
}

// before returns d with fn called once, before the first object is created whose
// name ends so.
func before(d destination.Destination, suffix string, fn func()) destination.Destination {
	var once sync.Once
	return &backuptest.Hook{Destination: d, BeforeCreate: func(name string) {
		if strings.HasSuffix(name, suffix) {
			once.Do(fn)
		}
	}}
}

// testSecondWriter has another database's backup begin while one runs.
func testSecondWriter(t *testing.T, d destination.Destination) {
	a, b := backuptest.New(t, false, nil), backuptest.New(t, true, nil)
	a.Set("k", backuptest.Entry{Value: "a"})
	b.Set("k", backuptest.Entry{Value: "b"})
	second := b.Job(d, func(j *backup.Backup) { j.ForceFull = true })
	a.Backup(before(d, ".backup", func() {
		if _, err := second.Run(t.Context()); !fault.Is(err, fault.Locked) || !strings.Contains(err.Error(), a.Source.Identity()) {
			t.Errorf("the second writer: %v", err)
		}
	}), nil)
	if _, err := second.Run(t.Context()); err != nil {
		t.Errorf("after the first was done: %v", err)
	}
	wantSeries(t, d, 2)
}

// testRobbedHolder takes the lease from a running backup and gives it to
// another: the first one's commit is refused.
func testRobbedHolder(t *testing.T, d destination.Destination) {
	a, b := backuptest.New(t, false, nil), backuptest.New(t, false, nil)
	a.Set("k", backuptest.Entry{Value: "a"})
	b.Set("k", backuptest.Entry{Value: "b"})
	robbed := before(d, ".parts", func() {
		for _, name := range destinationtest.Names(t, d, "brock.lease") {
			if err := d.Remove(t.Context(), name); err != nil {
				t.Error(err)
			}
		}
		b.Backup(d, nil)
	})
	_, err := a.Job(robbed, nil).Run(t.Context())
	if !fault.Is(err, fault.Locked) || fault.HintOf(err) == "" {
		t.Errorf("got %v", err)
	}
	wantSeries(t, d, 1)
	wantRestored(t, d, ee.Key{}, b.Model)
}

func wantSeries(t *testing.T, d destination.Destination, want int) {
	t.Helper()
	listing, err := backup.List(t.Context(), d)
	if err != nil || len(listing.Series) != want || len(listing.Damaged)+len(listing.Unfinished) > 0 {
		t.Errorf("listed %+v, %v; want %d series", listing, err, want)
	}
}
