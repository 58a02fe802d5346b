package inflate

import "math/bits"

// fixedTables makes the tables of fixed Huffman codes (RFC 1951, 3.2.6).
func (d *Decoder) fixedTables() {
	if d.fixed {
		return
	}
	var l [maxLit + maxDist]uint8
	for i := range maxLit {
		switch {
		case i < 144:
			l[i] = 8
		case i < 256:
			l[i] = 9
		case i < 280:
			l[i] = 7
		default:
			l[i] = 8
		}
	}
	for i := maxLit; i < len(l); i++ {
		l[i] = 5
	}
	// Both codes are complete, so building them cannot fail.
	d.fixed = buildLits(&d.litTable, l[:maxLit]) && build(d.distTable[:], distBits, l[maxLit:], distEntry)
}

// dynamicTables reads the code lengths of a block and makes its tables (3.2.7).
func (d *Decoder) dynamicTables() error {
	d.fixed = false
	d.refill()
	lits, dists, pres := int(d.take(5))+257, int(d.take(5))+1, int(d.take(4))+4
	if lits > 286 {
		return ErrCorrupt
	}
	clear(d.preLengths[:])
	for i := range pres {
		if i%16 == 0 {
			d.refill()
		}
		d.preLengths[preOrder[i]] = uint8(d.take(3))
	}
	if !build(d.precode[:], preBits, d.preLengths[:], preEntry) {
		return ErrCorrupt
	}
	if err := d.readLengths(d.lengths[:lits+dists]); err != nil {
		return err
	}
	if d.lengths[256] == 0 || // no way to end the block
		!buildLits(&d.litTable, d.lengths[:lits]) ||
		!build(d.distTable[:], distBits, d.lengths[lits:lits+dists], distEntry) {
		return ErrCorrupt
	}
	return nil
}

// readLengths reads run-length coded code lengths.
func (d *Decoder) readLengths(lengths []uint8) error {
	for i := 0; i < len(lengths); {
		d.refill()
		if d.past > 8 {
			return ErrCorrupt
		}
		e := d.precode[d.bits&(1<<preBits-1)]
		if e&kindSpecial != 0 {
			return ErrCorrupt
		}
		d.take(uint(e & allBits))
		sym := e >> 16
		if sym < 16 {
			lengths[i] = uint8(sym)
			i++
			continue
		}
		var value uint8
		var repeat int
		switch sym {
		case 16:
			if i == 0 {
				return ErrCorrupt
			}
			value, repeat = lengths[i-1], 3+int(d.take(2))
		case 17:
			repeat = 3 + int(d.take(3))
		default:
			repeat = 11 + int(d.take(7))
		}
		if repeat > len(lengths)-i {
			return ErrCorrupt
		}
		for range repeat {
			lengths[i] = value
			i++
		}
	}
	return nil
}

func litEntry(sym int) uint32 {
	switch {
	case sym < 256:
		return uint32(sym)<<16 | kindLiteral | 1<<8
	case sym == 256:
		return kindSpecial | kindEnd
	case sym-257 < len(lengthBase):
		return uint32(lengthBase[sym-257])<<16 | uint32(lengthExtra[sym-257])
	}
	return kindSpecial
}

func distEntry(sym int) uint32 {
	if sym < len(distBase) {
		return uint32(distBase[sym])<<16 | uint32(distExtra[sym])
	}
	return kindSpecial
}

func preEntry(sym int) uint32 { return uint32(sym) << 16 }

// buildLits makes the table of literals and lengths. An entry whose index has room
// for the code of a second literal has that, too.
func buildLits(table *[1<<litBits + litSub]uint32, lengths []uint8) bool {
	if !build(table[:], litBits, lengths, litEntry) {
		return false
	}
	// Downwards, since what an entry is joined with lies below it, or is itself.
	for i := 1<<litBits - 1; i >= 0; i-- {
		e := table[i]
		if e&kindLiteral == 0 {
			continue
		}
		second := table[i>>(e&allBits)]
		if n := e&allBits + second&allBits; second&kindLiteral != 0 && n <= litBits {
			table[i] = second>>16&0xff<<24 | e>>16&0xff<<16 | kindLiteral | 2<<8 | n
		}
	}
	return true
}

// build makes the decoding table of a canonical Huffman code (3.2.2), with
// subtables behind the first 1<<tableBits entries for longer codes. It reports
// false for lengths that are no prefix code: over-subscribed, or incomplete
// but for a code of one symbol of one bit, or of none, which RFC 1951 allows
// for distances.
func build(table []uint32, tableBits uint, lengths []uint8, entry func(sym int) uint32) bool {
	var count [maxLen + 1]int
	for _, l := range lengths {
		count[l]++
	}
	used := len(lengths) - count[0]
	var code [maxLen + 2]uint32
	left := 1
	for l := 1; l <= maxLen; l++ {
		left = left<<1 - count[l]
		if left < 0 {
			return false
		}
		code[l+1] = (code[l] + uint32(count[l])) << 1
	}
	if oneBit := used == 1 && count[1] == 1; left > 0 && used > 0 && !oneBit {
		return false
	}
	first := table[:1<<tableBits]
	if left > 0 {
		for i := range first {
			first[i] = kindSpecial
		}
	}
	// Symbols by code length, then by number: the order of their codes.
	var start [maxLen + 2]int
	for l := 1; l <= maxLen; l++ {
		start[l+1] = start[l] + count[l]
	}
	var sorted [maxLit]uint16
	for sym, l := range lengths {
		if l > 0 {
			sorted[start[l]] = uint16(sym)
			start[l]++
		}
	}
	free, prefix, size := 1<<tableBits, -1, uint(0) // of the present subtable
	for _, sym := range sorted[:used] {
		l := uint(lengths[sym])
		reversed := int(bits.Reverse32(code[l]) >> (32 - l))
		e := entry(int(sym)) + uint32(l)
		if e&(kindLiteral|kindSpecial) == 0 {
			e |= uint32(l) << 8
		}
		if l <= tableBits {
			for i := reversed; i < len(first); i += 1 << l {
				first[i] = e
			}
		} else {
			// Codes of one prefix follow each other.
			if p := reversed & (1<<tableBits - 1); p != prefix {
				if prefix >= 0 {
					free += 1 << size
				}
				prefix, size = p, subtableBits(&count, l, tableBits)
				if free+1<<size > len(table) {
					return false
				}
				first[p] = uint32(free)<<16 | kindSpecial | kindSubtable | uint32(size)<<8
			}
			for i := reversed >> tableBits; i < 1<<size; i += 1 << (l - tableBits) {
				table[free+i] = e
			}
		}
		code[l]++
		count[l]--
	}
	return true
}

// subtableBits returns how many bits beyond the first table's are needed by the
// codes that share a prefix, of which the first has length l. remaining counts
// the codes not placed yet.
func subtableBits(remaining *[maxLen + 1]int, l, tableBits uint) uint {
	left := 1 << (l - tableBits)
	for l < maxLen {
		if left -= remaining[l]; left <= 0 {
			break
		}
		l++
		left <<= 1
	}
	return l - tableBits
}
