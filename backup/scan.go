package backup

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/brockdb/brock/backup/archive"
	"github.com/brockdb/brock/backup/fault"
)

// scanner reads key ranges of one snapshot. It is used by one goroutine.
type scanner struct {
	ctx         context.Context
	snap        *Snapshot
	layout      *badgerLayout
	since       uint64
	allVersions bool

	rec  archive.Record
	prev []byte // the key before
}

// emit receives the records of a range in key order, versions newest first.
// newKey is false for further versions of the key before. rec is valid until
// emit returns.
type emit func(rec *archive.Record, newKey bool) error

// scan emits what a backup must hold of a range: per key the newest version in
// (since, read_ts] (more where a merge operator needs them, all where asked
// for). A deleted or expired key is a delete marker in an incremental, and
// nothing in a full.
//
// Whatever cannot be read is an error.
func (s *scanner) scan(r keyRange, out emit) error {
	if s.ctx.Err() != nil { // in a range without changes nobody else asks
		return context.Cause(s.ctx)
	}
	s.prev = s.prev[:0]
	op := func() string { return fmt.Sprintf("read the database after key %x", clip(s.prev)) }
	return guarded(s.snap.DB, op, func() error {
		v := openVersions(s.snap, s.layout, s.since, s.allVersions)
		defer v.close()
		if err := s.walk(v, r, out); err != nil {
			return err
		}
		if err := v.err(); err != nil {
			return fault.New(fault.Corrupt, "read the database "+r.String(), "%w", err).WithHint(damagedHint)
		}
		return nil
	})
}

func (s *scanner) walk(v versions, r keyRange, out emit) error {
	done := false // nothing older of this key counts
	emitted := false
	count := 0
	for ok := v.seek(r); ok; ok = v.next() {
		if count++; count%1024 == 0 && s.ctx.Err() != nil {
			return context.Cause(s.ctx)
		}
		e := v.entry()
		order := bytes.Compare(e.key, s.prev)
		switch {
		case order == 0 && done:
			continue
		case order < 0:
			return fault.New(fault.Corrupt, fmt.Sprintf("read the database at key %x", clip(s.prev)),
				"the key after it, %x, is smaller", clip(e.key))
		case order > 0:
			if len(r.right) > 0 && bytes.Compare(e.key, r.right) >= 0 {
				return nil
			}
			s.prev = append(s.prev[:0], e.key...)
			done, emitted = s.skipped(e.key), false
			if done {
				continue
			}
		}
		keep, last := s.fill(e)
		if keep && e.apart && !s.rec.Deleted() {
			var err error
			if e, err = v.resolve(); err != nil {
				return err
			}
			keep, last = s.fill(e)
		}
		done = last
		if !keep {
			continue
		}
		if err := s.emit(v, e, !emitted, out); err != nil {
			return err
		}
		emitted = true
	}
	return nil
}

func (s *scanner) skipped(key []byte) bool {
	for _, prefix := range s.snap.Skip {
		if bytes.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}

// fill sets all of s.rec but the value, and tells whether this version is kept
// and whether it is the last of its key that is.
func (s *scanner) fill(e *entry) (keep, last bool) {
	s.rec = archive.Record{
		Key: e.key, UserMeta: e.userMeta, Version: e.version, ExpiresAt: e.expiresAt,
		Meta: e.meta & (archive.MetaDelete | archive.MetaDiscardEarlier | archive.MetaMerge),
	}
	discards := e.meta&archive.MetaDiscardEarlier != 0
	if e.meta&archive.MetaDelete != 0 || e.expiresAt != 0 && e.expiresAt <= uint64(time.Now().Unix()) {
		s.rec.Meta = archive.MetaDelete
		keep = s.allVersions || s.since > 0
		return keep, !s.allVersions
	}
	if s.allVersions {
		return true, discards
	}
	return true, e.meta&archive.MetaMerge == 0 || discards
}

// emit completes s.rec with the value and hands it on.
func (s *scanner) emit(v versions, e *entry, newKey bool, out emit) error {
	if s.rec.Deleted() {
		return out(&s.rec, newKey)
	}
	if !e.apart {
		s.rec.Value = e.inline
		return out(&s.rec, newKey)
	}
	return v.value(func(value []byte) error {
		s.rec.Value = value
		return out(&s.rec, newKey)
	})
}

// clip shortens a key for an error message.
func clip(key []byte) []byte { return key[:min(len(key), 64)] }
