package deflate

import (
	"math/rand/v2"
	"testing"
)

// TestCodes builds codes of frequencies that want to be deeper than a code may
// be: Fibonacci numbers, powers, and random ones.
func TestCodes(t *testing.T) {
	const most = 1 << 22 // of all frequencies together; a block has 131,070 bytes
	fibonacci, powers := make([]uint32, 30), make([]uint32, 22)
	for i := range fibonacci {
		fibonacci[i] = 1
		if i > 1 {
			fibonacci[i] = fibonacci[i-1] + fibonacci[i-2]
		}
	}
	for i := range powers {
		powers[i] = 1 << i
	}
	cases := [][]uint32{fibonacci, powers, fibonacci[:19], {0, 0, 5}, {5, 0}, {0, 0}, make([]uint32, litSymbols)}
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 2))
		freq := make([]uint32, 2+r.IntN(litSymbols-1))
		for i := range freq {
			freq[i] = uint32(r.Uint64N(1<<r.IntN(14))) * uint32(r.IntN(2))
		}
		cases = append(cases, freq)
	}
	for i, freq := range cases {
		for _, limit := range []uint32{maxLitLen, maxDistLen, maxPreLen} {
			if len(freq) > 1<<limit/2 {
				continue // more symbols than such a code is for
			}
			var c code
			c.build(freq, limit)
			space := 0 // of 1<<15, taken by codes
			for sym, f := range freq {
				l := c[sym] & 255
				if f > 0 && l == 0 || l > limit {
					t.Fatalf("case %d, limit %d: symbol %d with frequency %d has %d bits", i, limit, sym, f, l)
				}
				if l > 0 {
					space += 1 << (15 - l)
				}
				for other, o := range c[:sym] {
					if n := min(l, o&255); n > 0 && (o^c[sym])>>8&(1<<n-1) == 0 {
						t.Fatalf("case %d, limit %d: one of the codes of %d and %d begins with the other", i, limit, sym, other)
					}
				}
			}
			if space != 1<<15 {
				t.Errorf("case %d, limit %d: the code is not complete: %d", i, limit, space)
			}
		}
	}
	if total := fibonacci[29] * 3; total > most {
		t.Errorf("the frequencies reach %d", total)
	}
}

// TestOptimal compares small codes with those found by trying all lengths.
func TestOptimal(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 3))
		freq := make([]uint32, 2+r.IntN(4))
		for i := range freq {
			freq[i] = 1 + uint32(r.IntN(100))
		}
		var c code
		c.build(freq, maxDistLen)
		got := 0
		for sym, f := range freq {
			got += int(f) * int(c[sym]&255)
		}
		if want := cheapest(freq, 1<<5); got != want {
			t.Errorf("%v: %d bits, not %d", freq, got, want)
		}
	}
}

// cheapest returns the bits of the best code of up to 5 bits in so much space.
func cheapest(freq []uint32, space int) int {
	const impossible = 1 << 30
	if len(freq) == 0 {
		return 0
	}
	best := impossible
	for l := 1; l <= 5; l++ {
		if rest := space - 1<<(5-l); rest >= 0 {
			best = min(best, int(freq[0])*l+cheapest(freq[1:], rest))
		}
	}
	return best
}

// TestSymbols checks lengths and distances against the tables of RFC 1951,
// 3.2.5.
func TestSymbols(t *testing.T) {
	for n := minMatch; n <= maxMatch; n++ {
		sym := lengthSymbol(n - minMatch)
		extra := n - int(lengthBase[sym])
		if extra < 0 || extra >= 1<<lengthExtra(sym) || n == maxMatch && sym != 28 {
			t.Errorf("length %d has symbol %d and %d beyond it", n, sym, extra)
		}
	}
	base := 1
	for sym := range distSyms {
		for extra := range 1 << distExtra(sym) {
			if s, e := distSymbol(base + extra); int(s) != sym || int(e) != extra {
				t.Fatalf("distance %d has symbol %d, extra %d, not %d and %d", base+extra, s, e, sym, extra)
			}
		}
		base += 1 << distExtra(sym)
	}
	if base != window+1 {
		t.Errorf("the distances end at %d", base-1)
	}
}
