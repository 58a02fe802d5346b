package backup

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup/archive"
	"github.com/brockdb/brock/backup/fault"
)

// Bits of Badger's hidden meta byte that are not in the archive.
const metaValuePointer = 1 << 1

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
	s.prev = s.prev[:0]
	op := func() string { return fmt.Sprintf("read the database after key %x", clip(s.prev)) }
	return guarded(s.snap.DB, op, func() error {
		it := s.snap.Txn.NewIterator(badger.IteratorOptions{AllVersions: true, SinceTs: s.since})
		defer it.Close()
		if err := s.walk(it, r, out); err != nil {
			return err
		}
		if err := s.layout.iteratorErr(it); err != nil {
			return fault.New(fault.Corrupt, "read the database "+r.String(), "%w", err).WithHint(damagedHint)
		}
		return nil
	})
}

func (s *scanner) walk(it *badger.Iterator, r keyRange, out emit) error {
	done := false // nothing older of this key counts
	emitted := false
	for count := 0; ; count++ {
		if count == 0 {
			it.Seek(r.left)
		} else {
			it.Next()
		}
		if !it.Valid() {
			return nil
		}
		if count%1024 == 0 && s.ctx.Err() != nil {
			return context.Cause(s.ctx)
		}
		item := it.Item()
		key := item.Key()
		order := bytes.Compare(key, s.prev)
		switch {
		case order == 0 && done:
			continue
		case order < 0:
			return fault.New(fault.Corrupt, fmt.Sprintf("read the database at key %x", clip(s.prev)),
				"the key after it, %x, is smaller", clip(key))
		case order > 0:
			if len(r.right) > 0 && bytes.Compare(key, r.right) >= 0 {
				return nil
			}
			s.prev = append(s.prev[:0], key...)
			done, emitted = s.skipped(key), false
			if done {
				continue
			}
		}
		keep, last := s.fill(item)
		done = last
		if !keep {
			continue
		}
		if err := s.value(item, !emitted, out); err != nil {
			return err
		}
		emitted = true
	}
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
func (s *scanner) fill(item *badger.Item) (keep, last bool) {
	meta := s.layout.meta(item)
	s.rec = archive.Record{
		Key: item.Key(), UserMeta: item.UserMeta(), Version: item.Version(), ExpiresAt: item.ExpiresAt(),
		Meta: meta & (archive.MetaDelete | archive.MetaDiscardEarlier | archive.MetaMerge),
	}
	if item.IsDeletedOrExpired() {
		s.rec.Meta = archive.MetaDelete
		keep = s.allVersions || s.since > 0
		return keep, !s.allVersions
	}
	if s.allVersions {
		return true, item.DiscardEarlierVersions()
	}
	merges := meta&archive.MetaMerge != 0 && meta&archive.MetaDiscardEarlier == 0
	return true, !merges
}

// value reads the item's value into s.rec and emits it.
func (s *scanner) value(item *badger.Item, newKey bool, out emit) error {
	if s.rec.Deleted() {
		return out(&s.rec, newKey)
	}
	pointer := s.layout.meta(item)&metaValuePointer != 0
	return item.Value(func(v []byte) error {
		if err := checkValue(item, v, pointer); err != nil {
			return err
		}
		s.rec.Value = v
		return out(&s.rec, newKey)
	})
}

// checkValue finds what Badger does not report: it logs a failed read of the
// value log and returns no value and no error.
func checkValue(item *badger.Item, v []byte, pointer bool) error {
	want := item.ValueSize()
	if pointer {
		want = valueLogSize(want, len(item.Key()), item.ExpiresAt())
	}
	if int64(len(v)) == want && (!pointer || v != nil) {
		return nil
	}
	return fault.New(fault.Corrupt, fmt.Sprintf("read the value of key %x version %d", clip(item.Key()), item.Version()),
		"the database returned %d bytes where %d are stored", len(v), want).
		WithHint("its value log is damaged or a file of it is missing; no backup was made")
}

// valueLogSize returns the length of a value in the value log. Item.ValueSize
// assumes that the entry's header there has 6 bytes. It has two, then the
// lengths of the key with its 8-byte version and of the value, and the expiry,
// as varints.
func valueLogSize(assumed int64, keyBytes int, expiresAt uint64) int64 {
	rest := assumed + 6 - 2 - uvarintBytes(uint64(keyBytes)+8) - uvarintBytes(expiresAt)
	for n := int64(1); n < binary.MaxVarintLen64; n++ {
		if size := rest - n; size >= 0 && uvarintBytes(uint64(size)) == n {
			return size
		}
	}
	return -1
}

func uvarintBytes(v uint64) int64 {
	var b [binary.MaxVarintLen64]byte
	return int64(binary.PutUvarint(b[:], v))
}

// clip shortens a key for an error message.
func clip(key []byte) []byte { return key[:min(len(key), 64)] }
