package restore

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"slices"
	"sort"

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
	heads    []*cursor          // those not at their end, by their present record
	counts   []int64            // records of each member that lay in the slices so far
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
	m.heads = m.heads[:0]
	for i := range m.members {
		c := m.cursor(i, s)
		all = append(all, c)
		if err := c.next(); errors.Is(err, io.EOF) {
			continue
		} else if err != nil {
			return err
		}
		m.heads = slices.Insert(m.heads, 0, c)
		m.settle()
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

// drain emits what all cursors still hold.
func (m *merger) drain(emit func(*archive.Record) error) error {
	var prev []byte
	done := false // nothing older of the key counts
	for count := 0; len(m.heads) > 0; count++ {
		if count%1024 == 0 && m.ctx.Err() != nil {
			return context.Cause(m.ctx)
		}
		rec := &m.heads[0].rec
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

// advance moves the first cursor on, and to its place.
func (m *merger) advance() error {
	err := m.heads[0].next()
	if errors.Is(err, io.EOF) {
		m.heads = slices.Delete(m.heads, 0, 1)
		return nil
	}
	if err == nil {
		m.settle()
	}
	return err
}

// settle moves the first cursor to its place. Most records are the full backup's
// and come one after the other, so it is compared with the runner-up first; a heap
// would look at two more.
func (m *merger) settle() {
	c := m.heads[0]
	if len(m.heads) == 1 || before(c, m.heads[1]) {
		return
	}
	n := 1 + sort.Search(len(m.heads)-2, func(i int) bool { return before(c, m.heads[i+2]) })
	copy(m.heads, m.heads[1:n+1])
	m.heads[n] = c
}

// before orders by key, then newest version first. Versions of one key differ,
// because the backups of a chain hold disjoint ranges of versions.
func before(a, b *cursor) bool {
	if order := bytes.Compare(a.rec.Key, b.rec.Key); order != 0 {
		return order < 0
	}
	return a.rec.Version > b.rec.Version
}
