package restore

import (
	"bytes"
	"fmt"
	"slices"
	"sort"
	"sync"

	"github.com/brockdb/brock/backup/archive"
	"github.com/brockdb/brock/backup/fault"
)

// piece is what a worker restores at a time.
type piece struct {
	slice
	number int    // from 1, ascending by key
	within *Range // the range that it is a part of; nil where all is read, for metadata and for a mark
	mark   *Mark  // a mark that stands by itself, where not all is read
}

// pieces cuts what is read of a group, in the order of the keys.
func (g *GroupPlan) pieces(workers int) []piece {
	cuts := cut(g.members[0].list, workers)
	var all []piece
	if g.only == nil {
		for _, s := range cuts {
			all = append(all, piece{slice: s})
		}
		return numbered(all)
	}
	prefix := g.schema.Metadata()
	all = cutRange(cuts, slice{prefix, prefixEnd(prefix)}, nil)
	for i := range g.only {
		r := &g.only[i]
		all = append(all, cutRange(cuts, slice{r.From, r.To}, r)...)
	}
	for i := range g.marks {
		all = append(all, piece{slice: slice{left: g.marks[i].Key}, mark: &g.marks[i]})
	}
	slices.SortFunc(all, func(a, b piece) int { return bytes.Compare(a.left, b.left) })
	return numbered(all)
}

func numbered(all []piece) []piece {
	for i := range all {
		all[i].number = i + 1
	}
	return all
}

// cutRange cuts a range where cuts, which cover all keys, are cut.
func cutRange(cuts []slice, s slice, within *Range) (all []piece) {
	first := sort.Search(len(cuts), func(i int) bool { return len(cuts[i].right) == 0 || bytes.Compare(cuts[i].right, s.left) > 0 })
	for _, c := range cuts[first:] {
		if s.beyond(c.left) {
			break
		}
		part := slice{c.left, c.right}
		if bytes.Compare(part.left, s.left) < 0 {
			part.left = s.left
		}
		if len(part.right) == 0 || s.beyond(part.right) {
			part.right = s.right
		}
		all = append(all, piece{slice: part, within: within})
	}
	return all
}

// write merges the piece into a sink.
func (s *piece) write(m *merger, g *GroupPlan, out sink) (int64, error) {
	switch {
	case s.mark != nil:
		return writeMark(*s.mark, s.number, g.members, out)
	case g.only != nil:
		return writeSlice(m, s.slice, s.number, nil, g.schema, out)
	}
	return writeSlice(m, s.slice, s.number, g.marks, g.schema, out)
}

// writeMark writes a slice of one mark.
func writeMark(mark Mark, number int, members []member, out sink) (int64, error) {
	w, err := out.slice(number)
	if err != nil {
		return 0, err
	}
	version := members[len(members)-1].manifest.ReadTs
	err = w.add(&archive.Record{Key: mark.Key, Value: mark.Value, Version: version})
	if cerr := w.close(); err == nil {
		err = cerr
	}
	return 1, err
}

// rawBytes sums up the chunks that are read, before compression.
func (g *GroupPlan) rawBytes() (n int64) {
	if g.only == nil {
		for _, m := range g.members {
			n += m.manifest.Groups[g.Group].RawBytes
		}
		return n
	}
	for _, r := range g.only {
		for _, m := range g.members {
			for _, run := range (slice{r.From, r.To}).runs(m.list) {
				for i := run.from; i < run.end; i++ {
					n += run.part.Chunks[i].RawBytes
				}
			}
		}
	}
	return n
}

// tally sums up what was read of each backup of a chain, in all or by range.
type tally struct {
	mu    sync.Mutex
	reads map[*Range][]int64
}

// take takes over what a merger has counted in a piece.
func (t *tally) take(s *piece, m *merger) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.reads == nil {
		t.reads = make(map[*Range][]int64)
	}
	sum := t.reads[s.within]
	if sum == nil {
		sum = make([]int64, len(m.counts))
		t.reads[s.within] = sum
	}
	for i, n := range m.counts {
		sum[i] += n
		m.counts[i] = 0
	}
}

// check holds the sums against the manifests.
func (t *tally) check(g *GroupPlan) error {
	if g.only == nil {
		for i, got := range t.reads[nil] {
			if err := g.members[i].counted(got, g.members[i].manifest.Groups[g.Group].Records, ""); err != nil {
				return err
			}
		}
		return nil
	}
	for i := range g.members {
		m := &g.members[i]
		if m.manifest.AllVersions {
			continue // what is counted by collection is keys
		}
		records := make(map[uint64]int64)
		for _, c := range m.manifest.Groups[g.Group].Collections {
			records[c.ID] = c.Records
		}
		for j := range g.only {
			r := &g.only[j]
			got, read := t.reads[r]
			want, known := sumOf(records, r.Collections)
			if !read || !known {
				continue
			}
			if err := m.counted(got[i], want, fmt.Sprintf(" of the collections %v", r.Collections)); err != nil {
				return err
			}
		}
	}
	return nil
}

// sumOf adds up the records of collections. It returns false when one is not
// known: it was not whole when the backup was made, and what there was of it was
// not counted.
func sumOf(records map[uint64]int64, collections []uint64) (sum int64, known bool) {
	for _, id := range collections {
		n, ok := records[id]
		if !ok {
			return 0, false
		}
		sum += n
	}
	return sum, true
}

func (m *member) counted(got, want int64, of string) error {
	if got == want {
		return nil
	}
	return fault.New(fault.Corrupt, "read backup "+m.manifest.Path, "%d records%s were read, its manifest says %d", got, of, want)
}
