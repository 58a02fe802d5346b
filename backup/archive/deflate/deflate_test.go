package deflate_test

import (
	"bytes"
	stdflate "compress/flate"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/klauspost/compress/flate"

	"github.com/brockdb/brock/backup/archive"
	"github.com/brockdb/brock/backup/archive/deflate"
	"github.com/brockdb/brock/backup/archive/inflate"
	"github.com/brockdb/brock/systest/dataset"
)

// blockBytes is the input of one block.
const blockBytes = 2 * (1<<16 - 1)

// chunk returns about rawBytes of records of a data set, as a backup has them.
func chunk(t testing.TB, name string, rawBytes int) []byte {
	t.Helper()
	set, err := dataset.Find(name, 1)
	if err != nil {
		t.Fatal(err)
	}
	var records []archive.Record
	for i, size := uint64(0), 0; size < rawBytes; i++ {
		e := set.Entry(i, 0)
		r := archive.Record{Key: e.Key, Value: e.Value, UserMeta: e.UserMeta, ExpiresAt: e.ExpiresAt, Version: 1_000_000 + i}
		size += len(e.Key) + len(e.Value)
		records = append(records, r)
	}
	slices.SortFunc(records, func(a, b archive.Record) int { return bytes.Compare(a.Key, b.Key) })
	var raw []byte
	for i := range records {
		raw = archive.AppendRecord(raw, &records[i])
	}
	return raw
}

// samples are raw data of many kinds.
func samples(t testing.TB) map[string][]byte {
	r := rand.New(rand.NewPCG(3, 4))
	random := make([]byte, 2*blockBytes)
	two, skewed := make([]byte, 50_000), make([]byte, 150_000)
	for i := range random {
		random[i] = byte(r.Uint32())
	}
	for i := range two {
		two[i] = "ab"[r.IntN(2)]
	}
	for i := range skewed {
		// An exponential distribution makes codes of every length.
		skewed[i] = byte(r.ExpFloat64() * 12)
	}
	var periods, repeats bytes.Buffer
	for d := 1; d < 70; d++ {
		periods.Write(bytes.Repeat(random[:d], 1+1500/d))
	}
	for repeats.Len() < 200_000 {
		from, n := r.IntN(60_000), 1+r.IntN(1+r.IntN(600))
		repeats.Write(random[from : from+n])
	}
	return map[string][]byte{
		"a": chunk(t, "a", 400_000), "b": chunk(t, "b", 400_000), "c": chunk(t, "c", 200_000),
		"random": random, "two symbols": two, "skewed": skewed, "periods": periods.Bytes(), "repeats": repeats.Bytes(),
		"zeros": make([]byte, 2*blockBytes+1), "half": append(make([]byte, blockBytes), random[:blockBytes]...),
		"a window back": slices.Concat(random[:1<<15], random[:1<<15], random[:1<<15-1], random[:1<<15+1], random[:1<<15]),
	}
}

// check compresses raw, expects three decoders to read it back, and returns how
// long it became.
func check(t testing.TB, e *deflate.Encoder, raw []byte) int {
	t.Helper()
	out := e.Append([]byte("before"), raw)[len("before"):]
	if bound := deflate.Bound(len(raw)); len(out) > bound {
		t.Fatalf("%d bytes became %d, more than %d", len(raw), len(out), bound)
	}
	var d inflate.Decoder
	got := make([]byte, len(raw)+inflate.Slack)
	if err := d.Inflate(got, out, len(raw)); err != nil || !bytes.Equal(got[:len(raw)], raw) {
		t.Fatalf("%d bytes, %.20x...: inflate: %v", len(raw), raw, err)
	}
	for name, open := range map[string]func(io.Reader) io.ReadCloser{"compress/flate": stdflate.NewReader, "klauspost": flate.NewReader} {
		src := bytes.NewReader(out)
		got, err := io.ReadAll(open(src))
		if err != nil || !bytes.Equal(got, raw) || src.Len() > 0 {
			t.Fatalf("%d bytes, %.20x...: %s: %v, %d bytes, %d left", len(raw), raw, name, err, len(got), src.Len())
		}
	}
	return len(out)
}

func TestAppend(t *testing.T) {
	var e deflate.Encoder
	for name, raw := range samples(t) {
		for _, e.Fast = range []bool{false, true} {
			t.Logf("%s: %d to %d", name, len(raw), check(t, &e, raw))
		}
	}
	records := chunk(t, "a", 3*blockBytes)
	e.Fast = false
	for n := range 150 {
		check(t, &e, records[:n])
		check(t, &e, make([]byte, n))
	}
	for _, border := range []int{1 << 12, 1 << 13, 1 << 15, 1<<16 - 1, blockBytes} {
		for n := border - 3; n <= border+3; n++ {
			check(t, &e, records[:n])
		}
	}
}

// TestSize holds the encoder against klauspost's at the level that brock used
// before, and against the best there can be where that is known.
func TestSize(t *testing.T) {
	var e deflate.Encoder
	for _, set := range []string{"a", "b"} {
		raw := chunk(t, set, 1<<19)
		var peer bytes.Buffer
		w, err := flate.NewWriter(&peer, 2)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(raw); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		for fast, limit := range map[bool]float64{false: 1.04, true: 1.08} {
			e.Fast = fast
			if n := check(t, &e, raw); float64(n) > limit*float64(peer.Len()) {
				t.Errorf("%s, fast %v: %d bytes, klauspost 2: %d", set, fast, n, peer.Len())
			}
		}
	}
	e.Fast = false
	for name, c := range map[string]struct {
		raw   []byte
		limit int
	}{
		"nothing":   {nil, 2},
		"one byte":  {[]byte{7}, 3},
		"word":      {[]byte("backup backup backup backup backup"), 13},
		"zeros":     {make([]byte, 1<<20), 1400},
		"many abcd": {bytes.Repeat([]byte("abcd"), 1<<18), 1450},
	} {
		if n := check(t, &e, c.raw); n > c.limit {
			t.Errorf("%s: %d bytes, more than %d", name, n, c.limit)
		}
	}
}

// TestSameBytes wants the same output whatever an Encoder did before.
func TestSameBytes(t *testing.T) {
	all, used := samples(t), new(deflate.Encoder)
	for name, raw := range all {
		want := new(deflate.Encoder).Append(nil, raw)
		if got := used.Append(nil, raw); !bytes.Equal(got, want) {
			t.Errorf("%s: an Encoder that was used gives other bytes", name)
		}
	}
}

func TestNoAllocations(t *testing.T) {
	var e deflate.Encoder
	raw := chunk(t, "a", 2*blockBytes)
	out := e.Append(make([]byte, 0, deflate.Bound(len(raw))+16), raw)
	if n := testing.AllocsPerRun(5, func() { out = e.Append(out[:0], raw) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestStructured makes data of random grammars: pieces that come again, runs,
// and noise, mixed in proportions that change.
func TestStructured(t *testing.T) {
	var e deflate.Encoder
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 1))
		alphabet := 1 + r.IntN(1+r.IntN(256))
		var raw []byte
		for want := r.IntN(1 << (4 + r.IntN(15))); len(raw) < want; {
			switch n := 1 + r.IntN(1+r.IntN(300)); r.IntN(4) {
			case 0:
				for range n {
					raw = append(raw, byte(r.IntN(alphabet)))
				}
			case 1:
				raw = append(raw, bytes.Repeat([]byte{byte(r.IntN(alphabet))}, n)...)
			case 2:
				raw = fmt.Appendf(raw, `{"id":%d,"n":"%x"}`, len(raw), r.IntN(alphabet*alphabet))
			case 3:
				if len(raw) > 0 {
					from := r.IntN(len(raw))
					raw = append(raw, raw[from:min(len(raw), from+n)]...)
				}
			}
		}
		e.Fast = seed%2 == 1
		check(t, &e, raw)
	}
}

// FuzzAppend repeats what it is given up to the size that it is given: small, or
// near the end of a block.
func FuzzAppend(f *testing.F) {
	for _, n := range []uint16{0, 1, 30, 5000, 1 << 15, 1<<15 + 100, 1<<15 + 101} {
		f.Add([]byte("a"), n, false)
		f.Add([]byte(`{"key":"value"}`), n, true)
	}
	for _, raw := range samples(f) {
		f.Add(raw[:2000], uint16(2000), false)
	}
	var e deflate.Encoder
	f.Fuzz(func(t *testing.T, raw []byte, n uint16, fast bool) {
		size := int(n)
		if size >= 1<<15 {
			size += blockBytes - 1<<15 - 100
			size = min(size, blockBytes+100)
		}
		for len(raw) > 0 && len(raw) < size {
			raw = append(raw, raw[:min(len(raw), size-len(raw))]...)
			raw[len(raw)/2]++
		}
		e.Fast = fast
		check(t, &e, raw)
	})
}
