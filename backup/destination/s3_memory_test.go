package destination_test

import (
	"fmt"
	"math"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/destination/destinationtest"
)

// heapLimit is what a backup to an object store may take, and what GOMEMLIMIT
// is set to here: a program that needed more would not come to its end for all
// the collecting.
const heapLimit = 300 << 20

// TestMinIOHeap writes 16 objects at the same time, together far larger than the
// limit, in a process of its own.
func TestMinIOHeap(t *testing.T) {
	const writers, objectBytes = 16, 24 << 20
	if uri, ok := destinationtest.ChildJob(); ok {
		if limit := debug.SetMemoryLimit(-1); limit == math.MaxInt64 {
			t.Fatal("GOMEMLIMIT is not set")
		}
		peak := watchHeap(t)
		d, err := destination.Open(t.Context(), uri, destination.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for i := range writers {
			all.Go(func() {
				if err := writePieces(t, d, fmt.Sprintf("object-%d", i), objectBytes); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if err := destinationtest.Report(strconv.FormatUint(peak(), 10)); err != nil {
			t.Fatal(err)
		}
		return
	}
	server := startMinIO(t)
	t.Setenv("MINIO_ROOT_USER", server.keys.AccessKey)
	t.Setenv("MINIO_ROOT_PASSWORD", server.keys.SecretKey)
	t.Setenv("GOMEMLIMIT", strconv.Itoa(heapLimit))
	d := server.open(t, destination.Options{})
	child, err := destinationtest.StartChild(t, d.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	peak, err := strconv.ParseUint(child.Next(), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	child.Wait()
	t.Logf("peak of the heap: %d MiB", peak>>20)
	if peak == 0 || peak > heapLimit {
		t.Errorf("the heap had %d MiB at its peak, the limit is %d", peak>>20, heapLimit>>20)
	}
	for i := range writers {
		info, err := d.Stat(t.Context(), fmt.Sprintf("object-%d", i))
		if err != nil || info.Size != objectBytes {
			t.Errorf("%+v, %v", info, err)
		}
	}
}

// writePieces writes an object in pieces of half a mebibyte, as a backup does.
func writePieces(t *testing.T, d destination.Destination, name string, size int) error {
	w, err := d.Create(t.Context(), name, destination.Exclusive)
	if err != nil {
		return err
	}
	piece := make([]byte, 512<<10)
	for written := 0; written < size; written += len(piece) {
		if _, err := w.Write(piece); err != nil {
			return err
		}
	}
	return w.Commit(t.Context())
}

// watchHeap looks at the heap until its answer is asked for: the highest number
// of bytes of objects, dead ones that were not yet collected included.
func watchHeap(t *testing.T) (peak func() uint64) {
	done, highest := make(chan struct{}), make(chan uint64)
	go func() {
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		var most uint64
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			metrics.Read(sample)
			most = max(most, sample[0].Value.Uint64())
			select {
			case <-tick.C:
			case <-done:
				highest <- most
				return
			}
		}
	}()
	return func() uint64 {
		close(done)
		return <-highest
	}
}
