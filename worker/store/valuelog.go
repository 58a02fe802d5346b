package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup/fault"
)

// When Badger rewrites a value log file, it writes a value anew, at its old
// version, also when the record was deleted since, as long as a table still has
// that version. What it writes lies above the delete marker then: compaction may
// drop the marker, which has nothing below it, and the record is back. So the
// records of which that can be so are looked for before, and deleted once more
// afterwards, by markers above what was written. A mark that is there meanwhile
// has the next process do that, before anything is discarded, when this one dies.

// discardRatio is the part of a value log file that must be garbage before the
// rest is written anew: at a half, a large value is written twice on average.
const discardRatio = 0.5

// buriedPerCommit bounds how many records are deleted once more in one commit.
const buriedPerCommit = 1000

// RewriteValueLog gives the space of deleted and overwritten values of 1 MiB
// and more back to the file system, as far as compaction has found them. It
// returns the number of files that were rewritten. Call it from time to time;
// one that runs meanwhile makes it return at once.
func (s *Store) RewriteValueLog(ctx context.Context) (files int, err error) {
	if !s.maintenance.TryLock() {
		return 0, nil
	}
	defer s.maintenance.Unlock()
	for ctx.Err() == nil && s.valueLogGarbage() {
		rewritten, err := s.rewriteValueLogFile(ctx)
		if err != nil {
			return files, fault.Wrap(err, "rewrite value log")
		}
		if !rewritten {
			return files, nil
		}
		files++
	}
	if ctx.Err() != nil {
		return files, fault.New(fault.Canceled, "rewrite value log", "%w", context.Cause(ctx))
	}
	return files, nil
}

// rewriteValueLogFile reports whether there was a file to rewrite.
func (s *Store) rewriteValueLogFile(ctx context.Context) (bool, error) {
	before := s.tracker.last()
	buried, err := s.buried(ctx, 0)
	if err != nil {
		return false, err
	}
	mark := localKey(spaceStore, keyRewriting)
	if _, _, err := s.submit(ctx, &prepared{local: []write{{mark, []byte("true")}}}); err != nil {
		return false, err
	}
	err = s.db.RunValueLogGC(discardRatio)
	rewritten := err == nil
	if errors.Is(err, badger.ErrNoRewrite) {
		err = nil
	}
	if err != nil { // something may have been written: the mark stays
		return false, err
	}
	ending := context.WithoutCancel(ctx)
	meanwhile, err := s.buried(ending, before)
	if err != nil {
		return rewritten, err
	}
	maps.Copy(buried, meanwhile)
	for _, p := range buryAgain(buried) {
		if _, _, err := s.submit(ending, p); err != nil {
			return rewritten, err
		}
	}
	return rewritten, nil
}

// valueLogGarbage reports whether Badger has counted enough garbage in a value
// log file: looking for what is buried reads all keys. Its file of counts has 16
// bytes for each file, the number of it and the bytes that are garbage.
func (s *Store) valueLogGarbage() bool {
	dir := s.db.Opts().ValueDir
	counts, err := os.ReadFile(filepath.Join(dir, "DISCARD"))
	if err != nil {
		return true // Badger decides
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.vlog"))
	if err != nil || len(files) == 0 {
		return false
	}
	newest := files[len(files)-1] // it is written to
	for ; len(counts) >= 16; counts = counts[16:] {
		number, garbage := binary.BigEndian.Uint64(counts), binary.BigEndian.Uint64(counts[8:])
		name := filepath.Join(dir, fmt.Sprintf("%06d.vlog", number))
		if info, err := os.Stat(name); err == nil && name != newest && float64(garbage) >= discardRatio*float64(info.Size()) {
			return true
		}
	}
	return false
}

// buried returns the records that are deleted while a table has a version of them
// above since, with the versions of their delete markers; with since 0 only those
// that have a value in the value log.
func (s *Store) buried(ctx context.Context, since uint64) (map[string]uint64, error) {
	txn := s.db.NewTransactionAt(s.tracker.last(), false)
	defer txn.Discard()
	it := txn.NewIterator(badger.IteratorOptions{AllVersions: true, SinceTs: since, Prefix: recordsPrefix()})
	defer it.Close()
	buried := make(map[string]uint64)
	var key []byte
	var deleted uint64 // version of the marker of key; 0 when its newest version is none
	seen := 0
	for it.Rewind(); it.Valid(); it.Next() {
		if seen++; seen%recordsPerCheck == 0 && ctx.Err() != nil {
			return nil, errCanceled(ctx)
		}
		item := it.Item()
		if key == nil || !bytes.Equal(item.Key(), key) {
			key, deleted = item.KeyCopy(key), 0
			if item.IsDeletedOrExpired() {
				deleted = item.Version()
				if since > 0 {
					buried[string(key)] = deleted
				}
			}
		} else if deleted > 0 && !item.IsDeletedOrExpired() && inValueLog(item) {
			buried[string(key)] = deleted
		}
	}
	return buried, whole(it)
}

// buryAgain makes the changes that delete records once more, unless they were put
// since. The last of them takes the mark away.
func buryAgain(buried map[string]uint64) []*prepared {
	var all []*prepared
	for keys := range slices.Chunk(slices.Sorted(maps.Keys(buried)), buriedPerCommit) {
		all = append(all, &prepared{step: func(c *committer, pl *plan, _ *group) error {
			for _, key := range keys {
				version, put, err := c.newest([]byte(key))
				if err != nil {
					return err
				}
				if !put || version < buried[key] {
					pl.writes = append(pl.writes, write{[]byte(key), nil})
				}
			}
			return nil
		}})
	}
	return append(all, &prepared{local: []write{{localKey(spaceStore, keyRewriting), nil}}})
}

// newest returns the version of what is stored under a key now, if anything is.
func (c *committer) newest(key []byte) (version uint64, found bool, err error) {
	txn := c.db.NewTransactionAt(math.MaxUint64, false)
	defer txn.Discard()
	_, version, found, err = reader{txn}.get(key)
	return version, found, err
}

// endRewrite does what a process that died while it rewrote the value log has not
// done. Nothing may be discarded before.
func (s *Store) endRewrite(r reader) error {
	var begun bool
	if _, err := r.readMark(keyRewriting, &begun); err != nil || !begun {
		return err
	}
	held := s.tracker.openAt(0) // until it is done
	defer s.tracker.release(held, false)
	buried, err := s.buried(context.Background(), 0)
	if err != nil {
		return err
	}
	for _, p := range buryAgain(buried) {
		if err := s.committer.commitAlone(p); err != nil {
			return err
		}
	}
	return nil
}
