package restore

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/archive"
	"github.com/brockdb/brock/backup/destination"
)

// merger merges a chain of backups, one slice at a time: of each key the newest
// version wins, and a delete wins by leaving nothing. One goroutine uses it.
type merger struct {
	ctx         context.Context
	src         destination.Destination
	members     []member
	allVersions bool
	progress    *backup.Progress

	decoders []*archive.Decoder // one per member: chunks of all are open at once
	heap     []*cursor
	counts   []int64 // records of each member that lay in the slices so far
}

// maxOpenReaders bounds how many objects a merger keeps open. Chains that are
// longer open an object for each chunk instead.
const maxOpenReaders = 32

func newMerger(ctx context.Context, r *Restore, members []member) *merger {
	m := &merger{ctx: ctx, src: r.Source, members: members, progress: r.Progress,
		allVersions: members[0].manifest.AllVersions,
		decoders:    make([]*archive.Decoder, len(members)), counts: make([]int64, len(members))}
	for i := range m.decoders {
		m.decoders[i] = new(archive.Decoder)
	}
	return m
}

// merge emits the slice's restored records in key order, versions newest
// first. A record is valid until emit returns.
func (m *merger) merge(s slice, emit func(*archive.Record) error) (err error) {
	var all []*cursor
	defer func() {
		for _, c := range all {
			m.counts[c.order] += c.accepts
			err = errors.Join(err, c.close())
		}
	}()
	m.heap = m.heap[:0]
	for i := range m.members {
		c := m.cursor(i, s)
		all = append(all, c)
		if err := c.next(); errors.Is(err, io.EOF) {
			continue
		} else if err != nil {
			return err
		}
		m.heap = append(m.heap, c)
	}
	for i := len(m.heap)/2 - 1; i >= 0; i-- {
		m.sink(i)
	}
	return m.drain(emit)
}

func (m *merger) cursor(i int, s slice) *cursor {
	batch := math.MaxInt
	if len(m.members) > maxOpenReaders {
		batch = 1
	}
	return &cursor{ctx: m.ctx, src: m.src, dec: m.decoders[i], member: &m.members[i], order: i,
		slice: s, runs: s.runs(m.members[i].list), batch: batch, progress: m.progress}
}

// drain empties the heap.
func (m *merger) drain(emit func(*archive.Record) error) error {
	var prev []byte
	done := false // nothing older of the key counts
	for count := 0; len(m.heap) > 0; count++ {
		if count%1024 == 0 && m.ctx.Err() != nil {
			return context.Cause(m.ctx)
		}
		rec := &m.heap[0].rec
		if count == 0 || !bytes.Equal(rec.Key, prev) {
			prev = append(prev[:0], rec.Key...)
			done = false
		}
		if !done {
			var keep bool
			keep, done = m.rule(rec)
			if keep {
				if err := emit(rec); err != nil {
					return err
				}
			}
		}
		if err := m.advance(); err != nil {
			return err
		}
	}
	return nil
}

// rule says whether a record is restored, and whether it is the last of its
// key that is.
func (m *merger) rule(rec *archive.Record) (keep, last bool) {
	discards := rec.Meta&archive.MetaDiscardEarlier != 0
	switch {
	case m.allVersions:
		return true, discards
	case rec.Deleted():
		return false, true
	default:
		return true, discards || rec.Meta&archive.MetaMerge == 0
	}
}

// advance moves the top cursor on and restores the heap.
func (m *merger) advance() error {
	err := m.heap[0].next()
	if errors.Is(err, io.EOF) {
		last := len(m.heap) - 1
		m.heap[0] = m.heap[last]
		m.heap = m.heap[:last]
	} else if err != nil {
		return err
	}
	m.sink(0)
	return nil
}

// sink moves element i of the heap down to its place.
func (m *merger) sink(i int) {
	for {
		child := 2*i + 1
		if child >= len(m.heap) {
			return
		}
		if child+1 < len(m.heap) && before(m.heap[child+1], m.heap[child]) {
			child++
		}
		if !before(m.heap[child], m.heap[i]) {
			return
		}
		m.heap[i], m.heap[child] = m.heap[child], m.heap[i]
		i = child
	}
}

// before orders by key, then newest version first. Versions of one key differ,
// because the backups of a chain hold disjoint ranges of versions.
func before(a, b *cursor) bool {
	if order := bytes.Compare(a.rec.Key, b.rec.Key); order != 0 {
		return order < 0
	}
	return a.rec.Version > b.rec.Version
}
