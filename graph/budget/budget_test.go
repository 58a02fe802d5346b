package budget

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
)

func TestReadAllTakesWhatItHolds(t *testing.T) {
	for _, size := range []int{0, 1, firstBytes - 1, firstBytes, firstBytes + 1, 100_000} {
		b := New(1 << 20)
		share := b.Open()
		text := strings.Repeat("x", size)
		got, err := share.ReadAll(iotest.HalfReader(strings.NewReader(text)), -1)
		if err != nil || string(got) != text {
			t.Fatalf("%d bytes: read %d, %v", size, len(got), err)
		}
		if taken := 1<<20 - b.Free(); taken < int64(cap(got)) || taken > int64(max(firstBytes, 4*size)) {
			t.Errorf("%d bytes: took %d", size, taken)
		}
		share.Close()
		if got, err := share.ReadAll(strings.NewReader(text), int64(size)); err != nil || string(got) != text || cap(got) > max(firstBytes, size+1) {
			t.Errorf("%d bytes expected: read %d into %d, %v", size, len(got), cap(got), err)
		}
		share.Close()
		if b.Free() != 1<<20 {
			t.Errorf("%d bytes: %d are free afterwards", size, b.Free())
		}
	}
}

// TestSpent holds the invariant with many readers: never more than the budget
// is taken, and all of it comes back.
func TestSpent(t *testing.T) {
	const total = 64 << 10
	b := New(total)
	var group sync.WaitGroup
	var mu sync.Mutex
	read, refused := 0, 0
	for range 50 {
		group.Go(func() {
			for range 50 {
				share := b.Open()
				_, err := share.ReadAll(bytes.NewReader(make([]byte, 20_000)), 20_000)
				if free := b.Free(); free < 0 {
					t.Errorf("%d bytes are free", free)
				}
				share.Close()
				mu.Lock()
				switch {
				case err == nil:
					read++
				case errors.Is(err, ErrSpent):
					refused++
				default:
					t.Error(err)
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	if b.Free() != total || read == 0 || read+refused != 2500 {
		t.Errorf("%d free, %d read, %d refused", b.Free(), read, refused)
	}
	held := b.Open()
	if err := held.Grow(total - 1); err != nil {
		t.Fatal(err)
	}
	late := b.Open()
	if _, err := late.ReadAll(strings.NewReader("x"), 1); !errors.Is(err, ErrSpent) {
		t.Errorf("a budget that is spent: %v", err)
	}
	held.Close()
	if _, err := late.ReadAll(strings.NewReader("x"), 1); err != nil {
		t.Errorf("a budget that is free again: %v", err)
	}
}

func TestReadAllPassesErrors(t *testing.T) {
	b := New(1 << 20)
	share := b.Open()
	if _, err := share.ReadAll(iotest.ErrReader(io.ErrUnexpectedEOF), 5); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	share.Close()
	if b.Free() != 1<<20 {
		t.Error("a failed read keeps its share")
	}
	none := (*Budget)(nil).Open()
	if _, err := none.ReadAll(strings.NewReader("x"), 1); err != nil {
		t.Error(err)
	}
	none.Close()
}
