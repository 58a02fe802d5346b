package deflate

import (
	"math/bits"

	"github.com/brockdb/brock/backup/archive/load"
)

const (
	window   = 1 << 15
	maxMatch = 258
	minMatch = 3 // of the format; the encoder looks for 6 bytes and more
	hashBits = 14
	// stripeBytes is how far candidates looks ahead of parse: what it finds
	// stays in the nearest cache.
	stripeBytes = 8 << 10
	// margin is how far before the end of the input the last match begins, so
	// that loads of 16 bytes need no check.
	margin = 16
	// prime is that of klauspost/compress for a hash of 6 bytes; the shift
	// leaves out the other two of a 64-bit load.
	prime = 227718039650203 << 16
)

// matcher finds the matches of a block.
type matcher struct {
	// table has the last position with each hash, without its upper bits. What
	// is too far back to be meant is some position inside the window, which
	// comparing it finds out.
	table [1 << hashBits]uint16

	factor uint64 // prime, in a variable: the compiler would load the constant each time

	// What candidates finds at every second position of a stripe: how many bits
	// are the same in the next 8 bytes, less the 1 that keeps the count below 64,
	// plus a bias that sets bit 7 when those are enough; and the distance, less
	// 1.
	near [stripeBytes/2 + slack]uint8
	far  [stripeBytes / 2]uint16

	// A seq is some literals and a match: from the top, 32 bits of number of
	// literals, 16 of the distance's extra bits, 8 of its symbol and 8 of the
	// length, less minMatch.
	seqs  [blockBytes/6 + 16]uint64
	nSeqs int
	lits  [blockBytes + 2*slack]byte
	nLits int

	lengthCount [maxMatch - minMatch + 1]uint32 // by length, less minMatch
	distCount   [32]uint32                      // by symbol
}

// parse cuts src[start:end] into literals and matches. Blocks are parsed in
// order: matches reach back into those before.
func (m *matcher) parse(src []byte, start, end int, fast bool) {
	m.factor = prime
	bias := 128 - 8*6
	if fast {
		bias = 128 - 8*7
	}
	m.lengthCount, m.distCount = [len(m.lengthCount)]uint32{}, [len(m.distCount)]uint32{}
	next, s, seqs, lits := start, start, 0, m.lits[:]
	stripe := max(start, 2) // nothing is before 0; all stripes begin at even positions
	for ; stripe < min(end, len(src)-margin); stripe += stripeBytes {
		stop := min(stripe+stripeBytes, end, len(src)-margin)
		m.candidates(src, stripe, stop, uint8(bias))
		for s = max(s, stripe); s < stop; {
			i := (s - stripe + 1) >> 1
			good := load.Uint64(m.near[:], i) & 0x8080808080808080
			if good == 0 {
				s += 16
				continue
			}
			i += bits.TrailingZeros64(good) >> 3
			n := (int(m.near[i]) - bias) >> 3
			p, dist := stripe+2*i, int(m.far[i])+1
			// Whether 7 bytes are all cannot be guessed; whether 14 are, mostly can.
			more := bits.TrailingZeros64((load.Uint64(src, p+7)^load.Uint64(src, p+7-dist))|1<<63) >> 3
			n += more & -((n + 1) >> 3)
			if n == 14 {
				n = matchLen(src, p, p-dist)
			}
			// A match may have begun at the odd position before.
			if p > dist {
				back := same(load.Uint8(src, p-1), load.Uint8(src, p-dist-1)) & negative(next-p)
				p -= back
				n += back
			}
			if n > end-p {
				if n = end - p; n < minMatch {
					break
				}
			}
			literals := p - next
			load.Copy16(lits, 0, src, next)
			if literals > 16 {
				copy(lits, src[next:p])
			}
			lits = lits[literals:]
			s = p + n
			next = s
			sym, extra := distSymbol(dist)
			seq := uint64(literals)<<32 | uint64(extra)<<16 | uint64(sym)<<8
			if n > maxMatch {
				seqs, n = m.cut(seqs, seq, n)
				seq &= 1<<32 - 1 // the literals are in the first
			}
			m.seqs[seqs] = seq | uint64(n-minMatch)
			m.lengthCount[uint8(n-minMatch)]++
			m.distCount[sym]++
			seqs++
		}
	}
	m.nSeqs, m.nLits = seqs, len(m.lits)-len(lits)+copy(lits, src[next:end])
}

// candidates looks at every second position of src[start:stop] for the last
// place with the same next 6 bytes, and notes all positions.
//
// The table's entries are all below p, and 0 at first. So the candidate is
// never before the start of src: up to p = window it is the entry itself, beyond
// it is at most a window back. That p+1 is noted ahead of its time does no harm:
// start and the lengths of all stripes but the last are even.
func (m *matcher) candidates(src []byte, start, stop int, bias uint8) {
	table := &m.table
	near := m.near[:(stop-start+1)/2]
	far := m.far[:len(near)]
	factor, p := m.factor, start
	for i := range near {
		x := load.Uint64(src, p)
		h := x * factor >> (64 - hashBits)
		d := (p - 1 - int(table[h])) & (window - 1)
		far[i] = uint16(d)
		table[h] = uint16(p)
		table[x>>8*factor>>(64-hashBits)] = uint16(p + 1)
		near[i] = uint8(bits.TrailingZeros64((x^load.Uint64(src, p-1-d))|1<<63)) + bias
		p += 2
	}
	load.Put64(m.near[:], len(near), 0) // parse looks 8 ahead
}

// cut adds all but the last part of a match that is longer than the format has
// them. It returns the number of seqs and the length that is left.
func (m *matcher) cut(seqs int, seq uint64, n int) (added, rest int) {
	for n > maxMatch {
		part := maxMatch
		if n < maxMatch+minMatch {
			part = maxMatch - minMatch // leaves enough for another
		}
		m.seqs[seqs] = seq | uint64(part-minMatch)
		m.lengthCount[part-minMatch]++
		m.distCount[seq>>8&31]++
		seq &= 1<<32 - 1
		seqs++
		n -= part
	}
	return seqs, n
}

// distSymbol returns the symbol of a distance and its extra bits (3.2.5).
func distSymbol(dist int) (sym, extra uint32) {
	x := uint32(dist - 1)
	if x < 4 {
		return x, 0
	}
	n := uint32(bits.Len32(x)) - 2
	return (2*n + x>>(n&31)) & 31, x & (1<<(n&31) - 1)
}

// matchLen returns how many bytes from p on are those from q on. The first 14
// are.
func matchLen(src []byte, p, q int) int {
	n := 14
	for p+n+8 <= len(src) {
		if x := load.Uint64(src, p+n) ^ load.Uint64(src, q+n); x != 0 {
			return n + bits.TrailingZeros64(x)>>3
		}
		n += 8
	}
	for p+n < len(src) && src[p+n] == src[q+n] {
		n++
	}
	return n
}

// same is 1 where a and b are the same, or else 0, without a branch.
func same(a, b byte) int { return int((uint32(a^b) - 1) >> 31) }

// negative is 1 where n is below 0, or else 0.
func negative(n int) int { return int(uint(n) >> (bits.UintSize - 1)) }
