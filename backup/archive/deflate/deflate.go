// Package deflate compresses one buffer into a deflate stream (RFC 1951), fast
// rather than small. It has the whole input in memory, as the chunks of a backup
// are, and so needs no window to slide, no writer interface and no state from
// one call to the next.
//
// What costs a compressor of this kind its time are branches that the processor
// guesses wrong, and one load waiting for the other. So the work is cut into
// loops that have neither: candidates looks up and compares at every second
// position, whether or not a match will begin there, and emit writes up to three
// literals whether or not there are that many. What is between them, parse,
// takes one guess for each match. A table of 16-bit positions stays in the
// processor's near caches.
package deflate

import (
	"slices"

	"github.com/brockdb/brock/backup/archive/load"
)

const (
	// maxStored is how much a stored block can hold.
	maxStored = 1<<16 - 1
	// blockBytes is the input of one block, with Huffman codes of its own.
	blockBytes = 2 * maxStored
	// storedOverhead is more than a stored block adds: 3 bits, up to 7 that
	// align, and 4 bytes of length.
	storedOverhead = 6
	// slack is how far past the end of what it writes the encoder may store.
	slack = 16
)

// Encoder holds the tables and buffers of one stream, about 500 KB. The zero
// Encoder is ready; it can be used again, by one goroutine at a time.
type Encoder struct {
	// Fast passes over matches of 6 bytes: a twentieth less time, and up to 4 %
	// more bytes.
	Fast bool

	matcher
	huffman
	out  []byte
	bits uint64 // not in out yet; the lowest one comes first
	have uint   // bits in bits, fewer than 8 between calls
}

// Bound returns the most that n bytes can become.
func Bound(n int) int { return n + storedOverhead*(n/maxStored+1) }

// Append appends src, compressed, to dst. The result depends on src and Fast
// only. Append does not allocate when dst has room for Bound(len(src)) and 16
// bytes.
func (e *Encoder) Append(dst, src []byte) []byte {
	e.table = [1 << hashBits]uint16{}
	e.out, e.bits, e.have = dst, 0, 0
	for pos, final := 0, false; !final; {
		end := min(pos+blockBytes, len(src))
		final = end == len(src)
		e.out = slices.Grow(e.out, Bound(end-pos)+slack)
		e.parse(src, pos, end, e.Fast)
		e.block(src[pos:end], final)
		pos = end
	}
	e.align()
	dst, e.out = e.out, nil
	return dst
}

// block writes what parse found in raw in the shortest of the three ways.
func (e *Encoder) block(raw []byte, final bool) {
	const fixed, dynamic = 1, 2
	last := uint64(0)
	if final {
		last = 1
	}
	e.count(e.lits[:e.nLits], &e.matcher)
	e.build()
	kind, cost := uint64(dynamic), e.cost()+e.describe()
	if len(raw) < smallBlock {
		dynamicLit, dynamicDist := e.lit, e.dist
		e.fix()
		if fixedCost := e.cost(); fixedCost <= cost {
			kind, cost = fixed, fixedCost
		} else {
			e.lit, e.dist = dynamicLit, dynamicDist
		}
	}
	if (len(raw)+storedOverhead*(len(raw)/maxStored+1))*8 <= cost {
		e.stored(raw, last)
		return
	}
	e.put(last|kind<<1, 3)
	if kind == dynamic {
		e.header()
	}
	e.emit()
}

// smallBlock is the input for which fixed Huffman codes, which need no
// description, are tried.
const smallBlock = 4 << 10

// stored writes raw as stored blocks (3.2.4).
func (e *Encoder) stored(raw []byte, last uint64) {
	for {
		n := min(len(raw), maxStored)
		if n == len(raw) {
			e.put(last, 3)
		} else {
			e.put(0, 3)
		}
		e.align()
		e.out = append(e.out, byte(n), byte(n>>8), ^byte(n), ^byte(n>>8))
		e.out = append(e.out, raw[:n]...)
		if raw = raw[n:]; len(raw) == 0 {
			return
		}
	}
}

// put writes the n lowest bits of v, which has no others.
func (e *Encoder) put(v uint64, n uint) {
	e.bits |= v << e.have
	e.have += n
	for e.have >= 8 {
		e.out = append(e.out, byte(e.bits))
		e.bits >>= 8
		e.have -= 8
	}
}

// align writes zeros up to the next byte.
func (e *Encoder) align() {
	if e.have > 0 {
		e.put(0, 8-e.have)
	}
}

// emit writes the matches of the block with the literals before each, those
// behind the last, and the end of the block. A code of literals has at most
// maxLitLen (14) bits, so that four and the 7 left over fit into 64; a match
// takes at most 14+5+15+13.
func (e *Encoder) emit() {
	e.combine()
	lit, lengths, dists, lits := &e.lit, &e.lengths, &e.dists, e.lits[:]
	out, at, li := e.out[:cap(e.out)], len(e.out), 0
	bits, have := e.bits, e.have
	for _, seq := range e.seqs[:e.nSeqs] {
		n := int(seq >> 32)
		for ; n >= 4; n -= 4 {
			four := load.Uint32(lits, li)
			li += 4
			a, b, c, d := lit[uint8(four)], lit[uint8(four>>8)], lit[uint8(four>>16)], lit[four>>24]
			bits |= uint64(a>>8) << (have & 63)
			have += uint(uint8(a))
			bits |= uint64(b>>8) << (have & 63)
			have += uint(uint8(b))
			bits |= uint64(c>>8) << (have & 63)
			have += uint(uint8(c))
			bits |= uint64(d>>8) << (have & 63)
			have += uint(uint8(d))
			load.Put64(out, at, bits)
			at += int(have >> 3)
			bits >>= have & 56
			have &= 7
		}
		// The codes of literals that are none become 0, of length 0.
		four := load.Uint32(lits, li)
		li += n
		a := lit[uint8(four)] & uint32((0-n)>>63)
		b := lit[uint8(four>>8)] & uint32((1-n)>>63)
		c := lit[uint8(four>>16)] & uint32((2-n)>>63)
		bits |= uint64(a>>8) << (have & 63)
		have += uint(uint8(a))
		bits |= uint64(b>>8) << (have & 63)
		have += uint(uint8(b))
		bits |= uint64(c>>8) << (have & 63)
		have += uint(uint8(c))
		load.Put64(out, at, bits)
		at += int(have >> 3)
		bits >>= have & 56
		have &= 7

		length, dist := lengths[uint8(seq)], dists[seq>>8&31]
		bits |= uint64(length>>8) << (have & 63)
		have += uint(uint8(length))
		bits |= (uint64(dist>>16) | uint64(uint16(seq>>16))<<(dist&31)) << (have & 63)
		have += uint(dist&31 + dist>>8&15)
		load.Put64(out, at, bits)
		at += int(have >> 3)
		bits >>= have & 56
		have &= 7
	}
	e.out, e.bits, e.have = out[:at], bits, have
	for _, b := range lits[li:e.nLits] {
		e.put(uint64(lit[b]>>8), uint(uint8(lit[b])))
	}
	e.put(uint64(lit[endOfBlock]>>8), uint(uint8(lit[endOfBlock])))
}
