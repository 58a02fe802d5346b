package deflate

import (
	"math/bits"
	"slices"
)

const (
	endOfBlock = 256
	litSymbols = 286
	maxLitLen  = 14 // 15 are allowed; emit wants four codes in 56 bits
	maxDistLen = 15
	maxPreLen  = 7
	distSyms   = 30
	preSyms    = 19
)

// code is a canonical Huffman code (3.2.2): by symbol, the code with its first
// bit lowest, shifted left by 8, and its length.
type code [288]uint32

// huffman has the frequencies and codes of a block.
type huffman struct {
	quarters [4][256]uint32 // of literals: four counts of the same
	litFreq  [litSymbols]uint32
	distFreq [distSyms]uint32
	lit      code
	dist     code

	// For emit: by length, less minMatch, the code with the extra bits behind
	// it, and the bits of both; by symbol, the code shifted by 16, the number of
	// its extra bits by 8, and its own bits.
	lengths [maxMatch - minMatch + 1]uint32
	dists   [32]uint32

	// The description of a dynamic block's codes (3.2.7).
	nLit, nDist, nPre int
	pre               code
	runs              []uint16 // symbol, 3 bits of number of extra bits, those
}

// lengthBase is the first length of each symbol after endOfBlock.
var lengthBase = [29]uint16{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258}

// lengthSymbol returns the symbol after endOfBlock of a length, less minMatch.
func lengthSymbol(n int) int {
	if n < 8 || n == maxMatch-minMatch {
		return min(n, 28)
	}
	extra := bits.Len(uint(n)) - 3
	return 4*extra + n>>extra
}

func lengthExtra(sym int) int {
	if sym < 8 || sym == 28 {
		return 0
	}
	return sym>>2 - 1
}

func distExtra(sym int) int { return max(0, sym>>1-1) }

// count takes the frequencies of a block.
func (h *huffman) count(lits []byte, m *matcher) {
	q := &h.quarters
	*q = [4][256]uint32{}
	// Four counts, since an increment waits for one of the same before it.
	for ; len(lits) >= 4; lits = lits[4:] {
		q[0][lits[0]]++
		q[1][lits[1]]++
		q[2][lits[2]]++
		q[3][lits[3]]++
	}
	for _, b := range lits {
		q[0][b]++
	}
	for i := range 256 {
		h.litFreq[i] = q[0][i] + q[1][i] + q[2][i] + q[3][i]
	}
	clear(h.litFreq[endOfBlock:])
	h.litFreq[endOfBlock] = 1
	for n, f := range &m.lengthCount {
		h.litFreq[endOfBlock+1+lengthSymbol(n)] += f
	}
	h.distFreq = [distSyms]uint32(m.distCount[:])
}

func (h *huffman) build() {
	h.lit.build(h.litFreq[:], maxLitLen)
	h.dist.build(h.distFreq[:], maxDistLen)
}

// fix sets the fixed codes (3.2.6).
func (h *huffman) fix() {
	for sym := range h.lit {
		switch {
		case sym < 144 || sym >= 280:
			h.lit[sym] = 8
		case sym < 256:
			h.lit[sym] = 9
		default:
			h.lit[sym] = 7
		}
	}
	h.lit.assign(len(h.lit))
	for sym := range h.distFreq {
		h.dist[sym] = 5
	}
	h.dist.assign(len(h.distFreq))
}

// cost returns the bits of the block with the present codes.
func (h *huffman) cost() int {
	n := 3
	for sym, f := range &h.litFreq {
		n += int(f) * int(uint8(h.lit[sym]))
	}
	for sym, f := range h.litFreq[endOfBlock+1:] {
		n += int(f) * lengthExtra(sym)
	}
	for sym, f := range &h.distFreq {
		n += int(f) * (int(uint8(h.dist[sym])) + distExtra(sym))
	}
	return n
}

// combine makes the tables of emit.
func (h *huffman) combine() {
	for n := range h.lengths {
		sym := lengthSymbol(n)
		c := h.lit[endOfBlock+1+sym]
		extra := uint32(n + minMatch - int(lengthBase[sym]))
		h.lengths[n] = c + extra<<(8+c&255) + uint32(lengthExtra(sym))
	}
	for sym := range h.distFreq {
		c := h.dist[sym]
		h.dists[sym] = c>>8<<16 | uint32(distExtra(sym))<<8 | c&255
	}
}

// build makes the code of the given frequencies, no code longer than limit
// bits. A code of fewer than two symbols is given others, so that it is
// complete, as all decoders want it.
func (c *code) build(freq []uint32, limit uint32) {
	const symBits = 9
	var keys, work [len(c)]uint32 // keys: frequency, symbol
	n := 0
	for sym, f := range freq {
		c[sym] = 0
		if f > 0 {
			keys[n] = f<<symBits | uint32(sym)
			n++
		}
	}
	for sym := uint32(0); n < 2; sym++ {
		if freq[sym] == 0 {
			keys[n] = 1<<symBits | sym
			n++
		}
	}
	slices.Sort(keys[:n])
	for {
		for i, k := range keys[:n] {
			work[i] = k >> symBits
		}
		codeLengths(work[:n])
		if work[0] <= limit {
			break
		}
		// Flatter frequencies have shorter codes. This is rare, and ends at the
		// latest when all are 1.
		for i, k := range keys[:n] {
			keys[i] = (k>>symBits+1)>>1<<symBits | k&(1<<symBits-1)
		}
	}
	for i, k := range keys[:n] {
		c[k&(1<<symBits-1)] = work[i]
	}
	c.assign(len(freq))
}

// assign turns the lengths of the first n symbols into codes.
func (c *code) assign(n int) {
	var first [17]uint32
	for _, l := range c[:n] {
		first[l+1]++
	}
	first[1] = 0 // those without a code
	for l := 1; l < 16; l++ {
		first[l+1] += first[l]
		first[l+1] <<= 1
	}
	for sym, l := range c[:n] {
		if l > 0 {
			c[sym] = uint32(bits.Reverse16(uint16(first[l])))>>(16-l)<<8 | l
			first[l]++
		}
	}
}

// codeLengths replaces two or more frequencies in ascending order by the
// lengths of their Huffman codes: Moffat and Katajainen, "In-place calculation
// of minimum-redundancy codes", 1995.
func codeLengths(a []uint32) {
	n := len(a)
	a[0] += a[1]
	root, leaf := 0, 2
	for next := 1; next < n-1; next++ {
		if leaf >= n || a[root] < a[leaf] {
			a[next] = a[root]
			a[root] = uint32(next)
			root++
		} else {
			a[next] = a[leaf]
			leaf++
		}
		if leaf >= n || root < next && a[root] < a[leaf] {
			a[next] += a[root]
			a[root] = uint32(next)
			root++
		} else {
			a[next] += a[leaf]
			leaf++
		}
	}
	a[n-2] = 0
	for next := n - 3; next >= 0; next-- {
		a[next] = a[a[next]] + 1
	}
	free, depth, next := 1, uint32(0), n-1
	for root = n - 2; free > 0; depth++ {
		inner := 0
		for ; root >= 0 && a[root] == depth; root-- {
			inner++
		}
		for ; free > inner; free-- {
			a[next] = depth
			next--
		}
		free = 2 * inner
	}
}
