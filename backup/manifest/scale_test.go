package manifest

import (
	"fmt"
	"testing"
	"time"

	"github.com/brockdb/brock/ee"
)

// withCollections returns a full backup's manifest with n collections.
func withCollections(n int, key ee.Key) *Manifest {
	m := full(key)
	list := make([]Collection, n)
	for i := range list {
		list[i] = Collection{ID: uint64(i + 1), Namespace: fmt.Sprintf("tenant-%04d", i%1000), Name: fmt.Sprintf("collection-%06d", i)}
	}
	m.Groups[1].Collections = list
	return m
}

// TestManyCollections encodes and decodes a manifest of 100,000 collections:
// its size is bounded, and its time grows no faster than the collections.
func TestManyCollections(t *testing.T) {
	key := someKey(t, 1)
	const few, many = 10_000, 100_000
	fast := codingTimes(t, few, key)
	slow := codingTimes(t, many, key)
	// Ten times as many take about ten times as long; were it quadratic, it
	// would be a hundred times. Below pause nothing is measured well.
	const most, pause = 30, 20 * time.Millisecond
	for i, what := range []string{"encoding", "decoding"} {
		if slow[i] > most*(fast[i]+pause) {
			t.Errorf("%s takes %v for %d collections and %v for %d", what, fast[i], few, slow[i], many)
		}
	}
	// The race detector makes this about ten times slower.
	const limit = 15 * time.Second
	if slow[0] > limit || slow[1] > limit {
		t.Errorf("encoding takes %v and decoding %v; the limit is %v", slow[0], slow[1], limit)
	}
}

// codingTimes returns how long it takes to encode and to decode a manifest with
// n collections.
func codingTimes(t *testing.T, n int, key ee.Key) (times [2]time.Duration) {
	t.Helper()
	m := withCollections(n, key)
	began := time.Now()
	data, err := m.Encode(key)
	if err != nil {
		t.Fatal(err)
	}
	times[0] = time.Since(began)
	began = time.Now()
	back, err := Decode(data, m.Path)
	if err == nil {
		_, err = back.CheckKey(data, ee.NewKeyRing(key))
	}
	if err != nil {
		t.Fatal(err)
	}
	times[1] = time.Since(began)
	list := back.Groups[1].Collections
	if len(list) != n || list[0] != m.Groups[1].Collections[0] || list[n-1] != m.Groups[1].Collections[n-1] {
		t.Fatalf("%d collections came back, not %d, or others", len(list), n)
	}
	const mostBytes = 160 // of a collection
	if len(data) > n*mostBytes+4096 || len(data) > MaxBytes/4 {
		t.Errorf("the manifest of %d collections has %d bytes", n, len(data))
	}
	t.Logf("%d collections: %d bytes, encode %v, decode %v", n, len(data), times[0], times[1])
	return times
}

// BenchmarkManifest encodes and decodes a manifest of 100,000 collections.
func BenchmarkManifest(b *testing.B) {
	key := someKey(b, 1)
	m := withCollections(100_000, key)
	data, err := m.Encode(key)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("encode", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			if _, err := m.Encode(key); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			if _, err := Decode(data, m.Path); err != nil {
				b.Fatal(err)
			}
		}
	})
}
