package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"testing"

	"github.com/brockdb/brock/ee"
)

// TestPartSum writes a part in pieces of all sizes: whole, with each byte flipped,
// cut at each place, with bytes more, and with two chunks in each other's place.
func TestPartSum(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, key := range []ee.Key{{}, someKey(t)} {
		part, data := writePart(t, makeRecords(100, 40, false), NoCompression, key, 1<<10)
		good := func(data []byte) bool {
			sum := NewPartSum(&part)
			for len(data) > 0 {
				n := 1 + r.IntN(min(len(data), 1500))
				if got, err := sum.Write(data[:n]); got != n || err != nil {
					t.Fatalf("%d of %d bytes, %v", got, n, err)
				}
				data = data[n:]
			}
			return sum.Good()
		}
		if len(part.Chunks) < 3 || !good(data) {
			t.Fatalf("a part of %d chunks is not good", len(part.Chunks))
		}
		for i := range data {
			if good(data[:i]) {
				t.Errorf("good when cut at %d of %d", i, len(data))
			}
			data[i] ^= 1 << (i % 8)
			if good(data) {
				t.Errorf("good with byte %d of %d flipped", i, len(data))
			}
			data[i] ^= 1 << (i % 8)
		}
		if good(append(bytes.Clone(data), 0)) || good(append(bytes.Clone(data), data[part.Chunks[0].Offset:]...)) {
			t.Error("good with more behind it")
		}
		a, b := part.Chunks[0], part.Chunks[1]
		swapped := append(bytes.Clone(data[:a.Offset]), data[b.Offset:b.Offset+b.StoredBytes]...)
		swapped = append(append(swapped, data[a.Offset:b.Offset]...), data[b.Offset+b.StoredBytes:]...)
		if len(swapped) != len(data) || good(swapped) {
			t.Error("good with two chunks in each other's place")
		}
	}
}

// TestPartDigest computes the digest as docs/format.md says.
func TestPartDigest(t *testing.T) {
	for _, key := range []ee.Key{{}, someKey(t)} {
		part, data := writePart(t, makeRecords(100, 40, true), DefaultCompression, key, 1<<10)
		var over []byte
		if !key.IsZero() {
			over = append(over, data[:ee.IVSize]...)
		}
		for _, c := range part.Chunks {
			digest := sha256.Sum256(data[c.Offset : c.Offset+c.StoredBytes])
			over = append(over, digest[:]...)
		}
		if want := sha256.Sum256(over); part.SHA256 != hex.EncodeToString(want[:]) {
			t.Errorf("key %v: the digest is %s, not %x", key, part.SHA256, want)
		}
	}
}
