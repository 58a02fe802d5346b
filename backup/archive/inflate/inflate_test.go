package inflate

import (
	"bytes"
	stdflate "compress/flate"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/flate"

	"github.com/brockdb/brock/systest/dataset"
)

// samples are raw data of many kinds.
func samples() map[string][]byte {
	r := rand.New(rand.NewPCG(1, 2))
	random := make([]byte, 100_000)
	skewed := make([]byte, 200_000)
	for i := range random {
		random[i] = byte(r.Uint32())
	}
	for i := range skewed {
		// An exponential distribution makes codes of every length up to 15.
		skewed[i] = byte(r.ExpFloat64() * 12)
	}
	var records bytes.Buffer
	for i := range 3000 {
		fmt.Fprintf(&records, `{"id":%d,"name":"%x","ok":%v,"pad":"%s"}`, i, r.Uint64(), i%3 == 0, bytes.Repeat([]byte{'x'}, r.IntN(300)))
	}
	periods := bytes.Buffer{}
	for d := 1; d < 40; d++ {
		periods.Write(bytes.Repeat(random[:d], 700/d))
	}
	return map[string][]byte{
		"empty": nil, "one": {7}, "zeros": make([]byte, 300_000), "random": random, "skewed": skewed,
		"records": records.Bytes(), "periods": periods.Bytes(), "far": append(append(bytes.Clone(random[:32700]), records.Bytes()[:60]...), random[:32000]...),
	}
}

func deflate(t testing.TB, raw []byte, level int) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, level)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(raw); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// inflate decodes in a buffer that others' bytes follow: the decoder stores without
// bounds checks, and must not reach them.
func inflate(d *Decoder, in []byte, size int) ([]byte, error) {
	const guard = 64
	buf := bytes.Repeat([]byte{0xa5}, size+Slack+guard)
	err := d.Inflate(buf[:size+Slack:size+Slack], in, size)
	for i, b := range buf[size+Slack:] {
		if b != 0xa5 {
			panic(fmt.Sprintf("byte %d behind the buffer was written", i))
		}
	}
	return buf[:size], err
}

func TestInflate(t *testing.T) {
	var d Decoder
	for name, raw := range samples() {
		for level := -2; level <= 9; level++ {
			in := deflate(t, raw, level)
			got, err := inflate(&d, in, len(raw))
			if err != nil || !bytes.Equal(got, raw) {
				t.Fatalf("%s at level %d: %v", name, level, err)
			}
			for _, size := range []int{len(raw) - 1, len(raw) + 1} {
				if size >= 0 {
					if _, err := inflate(&d, in, size); !errors.Is(err, ErrCorrupt) {
						t.Errorf("%s at level %d with size %d instead of %d: %v", name, level, size, len(raw), err)
					}
				}
			}
			if _, err := inflate(&d, append(bytes.Clone(in), 0), len(raw)); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s at level %d with a byte more: %v", name, level, err)
			}
		}
	}
}

// TestDamage cuts and flips streams: the result is that of the standard library.
func TestDamage(t *testing.T) {
	var d Decoder
	raw := samples()["records"][:5000]
	for _, level := range []int{-2, 0, 1, 6} {
		in := deflate(t, raw, level)
		for i := range in {
			if _, err := inflate(&d, in[:i], len(raw)); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("level %d cut at %d: %v", level, i, err)
			}
			bad := bytes.Clone(in)
			bad[i] ^= 1 << (i % 8)
			agree(t, &d, bad, len(raw))
		}
	}
}

// agree holds the decoder against compress/flate.
func agree(t *testing.T, d *Decoder, in []byte, size int) {
	t.Helper()
	got, err := inflate(d, in, size)
	src := bytes.NewReader(in)
	want, stdErr := io.ReadAll(io.LimitReader(stdflate.NewReader(src), int64(size)+1))
	good := stdErr == nil && len(want) == size && src.Len() == 0
	switch {
	case err == nil && !good:
		t.Fatalf("%x: accepted; compress/flate: %v, %d of %d bytes, %d left", in[:min(len(in), 50)], stdErr, len(want), size, src.Len())
	case err == nil && !bytes.Equal(got, want):
		t.Fatalf("%x: other data than compress/flate", in[:min(len(in), 50)])
	case err != nil && good:
		t.Fatalf("%x: refused, and compress/flate reads %d bytes", in[:min(len(in), 50)], size)
	}
}

func FuzzInflate(f *testing.F) {
	for name, raw := range samples() {
		if len(raw) > 4000 {
			raw = raw[:4000]
		}
		for _, level := range []int{-2, 0, 1, 2, 9} {
			f.Add(deflate(f, raw, level), len(raw))
		}
		_ = name
	}
	f.Fuzz(func(t *testing.T, in []byte, size int) {
		if size < 0 || size > 1<<16 {
			return
		}
		agree(t, new(Decoder), in, size)
	})
}

func BenchmarkInflate(b *testing.B) {
	var raw []byte
	set, err := dataset.Find("a", 1)
	if err != nil {
		b.Fatal(err)
	}
	for i := uint64(0); len(raw) < 2<<20; i++ {
		e := set.Entry(i, 0)
		raw = append(append(raw, e.Key...), e.Value...)
	}
	in := deflate(b, raw, 2)
	dst := make([]byte, len(raw)+Slack)
	b.Run("brock", func(b *testing.B) {
		var d Decoder
		b.SetBytes(int64(len(raw)))
		for b.Loop() {
			if err := d.Inflate(dst, in, len(raw)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("klauspost", func(b *testing.B) {
		src := bytes.NewReader(in)
		r := flate.NewReader(src)
		b.SetBytes(int64(len(raw)))
		for b.Loop() {
			src.Reset(in)
			if err := r.(flate.Resetter).Reset(src, nil); err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadFull(r, dst[:len(raw)]); err != nil {
				b.Fatal(err)
			}
		}
	})
}
