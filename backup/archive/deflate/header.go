package deflate

// preOrder is the order in which the lengths of the code of code lengths stand.
var preOrder = [preSyms]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// describe prepares the description of the codes of a dynamic block (3.2.7) and
// returns its bits.
func (h *huffman) describe() int {
	for h.nLit = litSymbols; h.lit[h.nLit-1] == 0; h.nLit-- {
	}
	for h.nDist = distSyms; h.dist[h.nDist-1] == 0; h.nDist-- {
	}
	var all [litSymbols + distSyms]uint8
	for i := range h.nLit {
		all[i] = uint8(h.lit[i])
	}
	for i := range h.nDist {
		all[h.nLit+i] = uint8(h.dist[i])
	}
	h.runs = h.runs[:0]
	for lengths := all[:h.nLit+h.nDist]; len(lengths) > 0; {
		n := 1
		for n < len(lengths) && lengths[n] == lengths[0] {
			n++
		}
		h.run(int(lengths[0]), n)
		lengths = lengths[n:]
	}
	var freq [preSyms]uint32
	cost := 0
	for _, r := range h.runs {
		freq[r&31]++
		cost += int(r >> 5 & 7)
	}
	h.pre.build(freq[:], maxPreLen)
	for h.nPre = preSyms; h.nPre > 4 && h.pre[preOrder[h.nPre-1]] == 0; h.nPre-- {
	}
	for sym, f := range freq {
		cost += int(f) * int(uint8(h.pre[sym]))
	}
	return 14 + 3*h.nPre + cost
}

// run adds n code lengths of the same value to the description.
func (h *huffman) run(value, n int) {
	const repeat, zeros, manyZeros = 16, 17, 18
	add := func(sym, extraBits, extra int) {
		h.runs = append(h.runs, uint16(sym|extraBits<<5|extra<<8))
	}
	if value != 0 {
		add(value, 0, 0)
		n--
	}
	for n >= 3 {
		part := n
		switch {
		case value != 0:
			part = min(n, 6)
			add(repeat, 2, part-3)
		case n <= 10:
			add(zeros, 3, part-3)
		default:
			part = min(n, 138)
			add(manyZeros, 7, part-11)
		}
		n -= part
	}
	for ; n > 0; n-- {
		add(value, 0, 0)
	}
}

// header writes the description.
func (e *Encoder) header() {
	e.put(uint64(e.nLit-257)|uint64(e.nDist-1)<<5|uint64(e.nPre-4)<<10, 14)
	for _, sym := range preOrder[:e.nPre] {
		e.put(uint64(uint8(e.pre[sym])), 3)
	}
	for _, r := range e.runs {
		c := e.pre[r&31]
		e.put(uint64(c>>8), uint(uint8(c)))
		e.put(uint64(r>>8), uint(r>>5&7))
	}
}
