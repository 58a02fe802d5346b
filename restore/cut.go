package restore

import (
	"bytes"
	"sort"

	"github.com/brockdb/brock/backup/archive"
)

// slice is a key range [left, right) that is merged by one worker; nil means
// unbounded.
type slice struct{ left, right []byte }

const (
	minSliceBytes = 16 << 20
	maxSliceBytes = 256 << 20
	// slicesPerWorker keeps all workers busy until near the end.
	slicesPerWorker = 16
)

// cut cuts the key space at chunk borders of the full backup, so that each of
// its chunks is read once, into slices of about equal size.
func cut(full *archive.List, workers int) []slice {
	var total int64
	for i := range full.Parts {
		total += full.Parts[i].RawBytes
	}
	size := min(max(total/int64(workers*slicesPerWorker), minSliceBytes), maxSliceBytes)
	var slices []slice
	var left []byte
	var filled int64
	for i := range full.Parts {
		for j := range full.Parts[i].Chunks {
			c := &full.Parts[i].Chunks[j]
			if filled >= size {
				slices = append(slices, slice{left, c.FirstKey})
				left, filled = c.FirstKey, 0
			}
			filled += c.RawBytes
		}
	}
	return append(slices, slice{left, nil})
}

// run is a sequence of chunks of one part.
type run struct {
	part      *archive.Part
	from, end int
}

// runs returns the chunks of a list that can hold keys of s, in key order.
func (s slice) runs(list *archive.List) []run {
	var out []run
	first := sort.Search(len(list.Parts), func(i int) bool { return bytes.Compare(list.Parts[i].LastKey, s.left) >= 0 })
	for i := first; i < len(list.Parts); i++ {
		p := &list.Parts[i]
		if s.beyond(p.FirstKey) {
			break
		}
		from := sort.Search(len(p.Chunks), func(j int) bool { return bytes.Compare(p.Chunks[j].FirstKey, s.left) > 0 })
		end := sort.Search(len(p.Chunks), func(j int) bool { return s.beyond(p.Chunks[j].FirstKey) })
		out = append(out, run{p, max(from-1, 0), end})
	}
	return out
}

// beyond reports whether key lies right of the slice.
func (s slice) beyond(key []byte) bool {
	return len(s.right) > 0 && bytes.Compare(key, s.right) >= 0
}
