package destinationtest

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
)

func testExclusiveRace(t *testing.T, d destination.Destination) {
	const rounds, writers = 5, 20
	for round := range rounds {
		name := fmt.Sprintf("race/%d", round)
		contents := make([][]byte, writers)
		errs := make([]error, writers)
		start := make(chan struct{})
		var wg sync.WaitGroup
		for i := range writers {
			contents[i] = bytes.Repeat([]byte{byte('a' + i)}, 1000*(i+1))
			wg.Go(func() {
				<-start
				errs[i] = put(t.Context(), d, name, destination.Exclusive, contents[i])
			})
		}
		close(start)
		wg.Wait()
		winner := -1
		for i, err := range errs {
			switch {
			case err == nil && winner >= 0:
				t.Fatalf("round %d: writers %d and %d both won", round, winner, i)
			case err == nil:
				winner = i
			default:
				wantKind(t, err, fault.Exists)
			}
		}
		if winner < 0 {
			t.Fatalf("round %d: nobody won", round)
		}
		wantContent(t, d, name, contents[winner])
	}
	wantObjects(t, d, "race/0", "race/1", "race/2", "race/3", "race/4")
}

// testReplace replaces an object over and over while readers look at it: every
// read must give one whole version, and never an older one than before.
func testReplace(t *testing.T, d destination.Destination) {
	const versions, readers = 40, 4
	content := func(v int) []byte { return bytes.Repeat([]byte{byte(v)}, 10_000+v) }
	Put(t, d, "object", content(0))
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range readers {
		wg.Go(func() {
			for last := 0; ctx.Err() == nil; {
				got, err := read(t.Context(), d, "object", 0, -1)
				if err != nil {
					t.Errorf("reading while it is replaced: %v", err)
					return
				}
				v := int(got[0])
				if !bytes.Equal(got, content(v)) || v < last {
					t.Errorf("read a mix of versions, or version %d after %d", v, last)
					return
				}
				last = v
			}
		})
	}
	for v := 1; v <= versions; v++ {
		if err := put(t.Context(), d, "object", destination.Replace, content(v)); err != nil {
			t.Error(err)
		}
	}
	stop()
	wg.Wait()
	wantContent(t, d, "object", content(versions))
	wantObjects(t, d, "object")
}

// testRemoveRace removes the last object of a folder over and over while others
// create objects in it.
func testRemoveRace(t *testing.T, d destination.Destination) {
	const workers, rounds = 4, 15
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			name := fmt.Sprintf("shared/folder/%d", i)
			for range rounds {
				err := put(t.Context(), d, name, destination.Exclusive, []byte(name))
				if err == nil {
					err = d.Remove(t.Context(), name)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if got := list(t, d, ""); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
}
