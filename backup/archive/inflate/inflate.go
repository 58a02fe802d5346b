// Package inflate decompresses a whole deflate stream (RFC 1951) from one
// buffer into another of known size. With both in memory it needs no window, no
// reader interface and no state between calls, and is about twice as fast as a
// streaming decoder. The shape of its tables (one lookup per symbol, subtables
// for long codes, several literals per refill of a 64-bit bit buffer) follows
// Eric Biggers' libdeflate; the code is its own.
package inflate

import (
	"encoding/binary"
	"errors"

	"github.com/brockdb/brock/backup/archive/load"
)

// Slack is how much longer than the data the output buffer must be: the decoder
// writes up to that many bytes past it.
const Slack = 258 + 16

// ErrCorrupt says that the input is no deflate stream of the given size.
var ErrCorrupt = errors.New("the deflate stream is malformed")

// Decoder holds the tables of one stream. The zero Decoder is ready; it can be
// used again, by one goroutine at a time.
type Decoder struct {
	litTable   [1<<litBits + litSub]uint32
	distTable  [1<<distBits + distSub]uint32
	fixed      bool // the tables are those of fixed Huffman codes
	lengths    [maxLit + maxDist]uint8
	precode    [1 << preBits]uint32
	preLengths [19]uint8

	in   []byte
	next int    // first byte of in that is not in bits
	bits uint64 // the lowest one comes first
	have uint   // bits in bits; those above may be garbage that refill overwrites
	past int    // zero bytes taken from behind the end of in
}

const (
	maxLit   = 288
	maxDist  = 32
	maxLen   = 15
	litBits  = 11
	distBits = 8
	preBits  = 7
	litMask  = 1<<litBits - 1
	distMask = 1<<distBits - 1
	// The most that codes longer than the first table's bits can need beyond
	// it: see the enumeration in zlib's examples/enough.c (2342 for 288 symbols
	// and 11 bits, 402 for 32 symbols and 8 bits).
	litSub  = 2342 - 1<<litBits
	distSub = 402 - 1<<distBits
)

// Table entries: the bits that a symbol takes with its extra bits, 6 of them; the
// kind; in bits 8 to 11 the bits of the code alone, for literals how many there
// are, for a subtable the bits of its index; the payload in the high 16 bits.
const (
	kindLiteral  = 1 << 12 // payload is a byte, or two: the codes of both are here
	kindSpecial  = 1 << 13 // not a plain symbol: one of the two below, or invalid
	kindSubtable = 1 << 14 // payload is its start
	kindEnd      = 1 << 15 // end of block
	allBits      = 63
	someBits     = 15
)

var (
	lengthBase  = [29]uint16{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258}
	lengthExtra = [29]uint8{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}
	distBase    = [30]uint16{1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577}
	distExtra   = [30]uint8{0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13}
	preOrder    = [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}
)

// Inflate decompresses all of in into dst[:size]; dst must be Slack longer. It
// is an error when the stream gives fewer or more bytes, or does not end with
// in.
func (d *Decoder) Inflate(dst, in []byte, size int) error {
	if len(dst) < size+Slack {
		return errors.New("the output buffer has no slack")
	}
	d.in, d.next, d.bits, d.have, d.past = in, 0, 0, 0, 0
	out, final := 0, false
	for !final {
		d.refill()
		final = d.take(1) == 1
		var err error
		switch d.take(2) {
		case 0:
			out, err = d.stored(dst, out, size)
		case 1:
			d.fixedTables()
			out, err = d.block(dst, out, size)
		case 2:
			if err = d.dynamicTables(); err == nil {
				out, err = d.block(dst, out, size)
			}
		default:
			err = ErrCorrupt
		}
		if err != nil {
			return err
		}
	}
	// What is left in the bit buffer is less than a byte of padding, plus whole
	// bytes that were read ahead.
	if unread := len(in) - d.next + int(d.have/8) - d.past; out != size || unread != 0 || d.past > int(d.have/8) {
		return ErrCorrupt
	}
	return nil
}

// refill makes have at least 56, with zeros behind the end of the input.
func (d *Decoder) refill() {
	if d.next+8 <= len(d.in) {
		d.bits |= binary.LittleEndian.Uint64(d.in[d.next:]) << d.have
		d.next += int((63 - d.have) >> 3)
		d.have |= 56
		return
	}
	d.bits &= 1<<d.have - 1
	for d.have < 56 {
		if d.next < len(d.in) {
			d.bits |= uint64(d.in[d.next]) << d.have
			d.next++
		} else {
			d.past++
		}
		d.have += 8
	}
}

// take consumes n bits, which must be there.
func (d *Decoder) take(n uint) uint32 {
	v := uint32(d.bits & (1<<n - 1))
	d.bits >>= n
	d.have -= n
	return v
}

// stored copies a stored block.
func (d *Decoder) stored(dst []byte, out, size int) (int, error) {
	d.take(d.have % 8)
	d.next -= int(d.have/8) - d.past // give back what was read ahead
	d.bits, d.have, d.past = 0, 0, 0
	if d.next < 0 || d.next+4 > len(d.in) {
		return out, ErrCorrupt
	}
	n := int(binary.LittleEndian.Uint16(d.in[d.next:]))
	if ^uint16(n) != binary.LittleEndian.Uint16(d.in[d.next+2:]) {
		return out, ErrCorrupt
	}
	d.next += 4
	if n > len(d.in)-d.next || n > size-out {
		return out, ErrCorrupt
	}
	copy(dst[out:], d.in[d.next:d.next+n])
	d.next += n
	return out + n, nil
}

// block decodes the symbols of a compressed block: all but its end by fast, the
// rest with the end of the input in mind.
func (d *Decoder) block(dst []byte, out, size int) (int, error) {
	out, ended, err := d.fast(dst, out, size)
	for !ended && err == nil {
		d.refill()
		if d.past > 8 || out > size { // more than can be read ahead: the stream does not end
			return out, ErrCorrupt
		}
		e := d.literalOrLength()
		switch {
		case e&kindLiteral != 0:
			d.take(uint(e & allBits))
			load.Put16(dst, out, uint16(e>>16))
			out += int(e >> 8 & someBits)
		case e&kindSpecial != 0:
			if ended = e&kindEnd != 0 && out <= size; !ended {
				return out, ErrCorrupt
			}
			d.take(uint(e & allBits))
		default:
			length := d.value(e)
			d.refill()
			e = d.distTable[d.bits&distMask]
			if e&kindSubtable != 0 {
				e = d.distTable[uint64(e>>16)+d.bits>>distBits&(1<<(e>>8&someBits)-1)]
			}
			if e&kindSpecial != 0 {
				return out, ErrCorrupt
			}
			dist := d.value(e)
			if dist > out || length > size-out {
				return out, ErrCorrupt
			}
			copyMatch(dst, out, dist, length)
			out += length
		}
	}
	return out, err
}

// literalOrLength returns the entry of the next symbol.
func (d *Decoder) literalOrLength() uint32 {
	e := d.litTable[d.bits&litMask]
	if e&kindSubtable != 0 {
		e = d.litTable[uint64(e>>16)+d.bits>>litBits&(1<<(e>>8&someBits)-1)]
	}
	return e
}

// value consumes a length or a distance.
func (d *Decoder) value(e uint32) int {
	v := int(e>>16) + int(d.bits&(1<<(e&allBits)-1)>>(e>>8&someBits))
	d.take(uint(e & allBits))
	return v
}

const (
	// fastIn is what fast may read of the input in one turn: three refills.
	fastIn = 3 * 8
	// fastOut is what it may write: four entries of two literals.
	fastOut = 8
)

// fast decodes symbols while neither the input nor the output is near its end.
// It reports whether the block has ended. What is done for each symbol is short,
// and what the next one needs is begun before this one's bytes are copied: the
// entry of the next symbol is in e.
func (d *Decoder) fast(dst []byte, out, size int) (at int, ended bool, err error) {
	// In locals, so that the compiler keeps them in registers.
	in, next, bits, have := d.in, d.next, d.bits, d.have
	lits, dists := &d.litTable, &d.distTable
	lastIn, lastOut := len(in)-fastIn, size-fastOut
	if next > lastIn || out > lastOut {
		return out, false, nil
	}
	bits |= load.Uint64(in, next) << (have & 63)
	next += int((63 - have) >> 3)
	have |= 56
	e := lits[bits&litMask]
	for next <= lastIn && out <= lastOut {
		// 56 bits are there: enough for three entries of literals and the look at
		// a fourth, or for a length and a distance of 48 bits at most.
		if e&kindLiteral != 0 {
			bits >>= e & allBits
			have -= uint(e & allBits)
			load.Put16(dst, out, uint16(e>>16))
			out += int(e >> 8 & someBits)
			if e = lits[bits&litMask]; e&kindLiteral != 0 {
				bits >>= e & allBits
				have -= uint(e & allBits)
				load.Put16(dst, out, uint16(e>>16))
				out += int(e >> 8 & someBits)
				if e = lits[bits&litMask]; e&kindLiteral != 0 {
					bits >>= e & allBits
					have -= uint(e & allBits)
					load.Put16(dst, out, uint16(e>>16))
					out += int(e >> 8 & someBits)
					e = lits[bits&litMask]
					bits |= load.Uint64(in, next) << (have & 63)
					next += int((63 - have) >> 3)
					have |= 56
					continue
				}
			}
			bits |= load.Uint64(in, next) << (have & 63)
			next += int((63 - have) >> 3)
			have |= 56
		}
		if e&kindSpecial != 0 {
			if e&kindSubtable != 0 {
				e = lits[uint64(e>>16)+bits>>litBits&(1<<(e>>8&someBits)-1)]
			}
			if e&kindLiteral != 0 {
				bits >>= e & allBits
				have -= uint(e & allBits)
				load.Put16(dst, out, uint16(e>>16))
				out++
				bits |= load.Uint64(in, next) << (have & 63)
				next += int((63 - have) >> 3)
				have |= 56
				e = lits[bits&litMask]
				continue
			}
			if e&kindSpecial != 0 {
				d.next, d.bits, d.have = next, bits, have
				if ended = e&kindEnd != 0; !ended {
					return out, false, ErrCorrupt
				}
				d.take(uint(e & allBits))
				return out, true, nil
			}
		}
		length := int(e>>16) + int(bits&(1<<(e&allBits)-1)>>(e>>8&someBits))
		bits >>= e & allBits
		have -= uint(e & allBits)
		e = dists[bits&distMask]
		if e&kindSpecial != 0 {
			if e&kindSubtable != 0 {
				e = dists[uint64(e>>16)+bits>>distBits&(1<<(e>>8&someBits)-1)]
			}
			if e&kindSpecial != 0 {
				return out, false, ErrCorrupt
			}
		}
		dist := int(e>>16) + int(bits&(1<<(e&allBits)-1)>>(e>>8&someBits))
		bits >>= e & allBits
		have -= uint(e & allBits)
		bits |= load.Uint64(in, next) << (have & 63)
		next += int((63 - have) >> 3)
		have |= 56
		e = lits[bits&litMask]
		if dist > out || length > size-out {
			return out, false, ErrCorrupt
		}
		if dist < 16 {
			copyMatch(dst, out, dist, length)
			out += length
			continue
		}
		load.Copy16(dst, out, dst, out-dist)
		for n := 16; n < length; n += 16 {
			load.Copy16(dst, out+n, dst, out+n-dist)
		}
		out += length
	}
	d.next, d.bits, d.have = next, bits, have
	return out, false, nil
}

// copyMatch copies length bytes from dist back, which may overlap. It may write
// up to 15 bytes more.
func copyMatch(dst []byte, out, dist, length int) {
	from := out - dist
	if dist >= 8 {
		for n := 0; n < length; n += 16 {
			s, t := dst[from+n:from+n+16], dst[out+n:out+n+16]
			binary.LittleEndian.PutUint64(t, binary.LittleEndian.Uint64(s))
			binary.LittleEndian.PutUint64(t[8:], binary.LittleEndian.Uint64(s[8:]))
		}
		return
	}
	if dist == 1 {
		b := dst[from]
		for i := out; i < out+length; i++ {
			dst[i] = b
		}
		return
	}
	for i := range length {
		dst[out+i] = dst[from+i]
	}
}
