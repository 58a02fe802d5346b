// Package store is the database of one group: a Badger store in managed mode,
// its keyspace (docs/keyspace.md), and the one path by which it changes.
//
// Every change goes through Store.Propose to a single committer goroutine, and
// every read through a View of one commit. The store itself keeps compaction
// from discarding what open views and incremental backups still need.
package store

import (
	"context"
	"sync"
	"time"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup/fault"
)

// Store is an open store. Its methods may be called from many goroutines.
type Store struct {
	db        *badger.DB
	queue     *queue
	tracker   *tracker
	committer *committer
	disk      *disk
	ghosts    *ghostbook

	compactions *compactions
	unwatch     func() // of compactions
	identity    identity
	restored    restoreMark
	now         func() time.Time
	stats       stats

	maintenance sync.Mutex    // held by RewriteValueLog and while reaping
	closing     chan struct{} // closed when Close begins
	closeOnce   sync.Once
	closeErr    error
}

// Close ends the store. Batches whose commit has not begun are refused, scans
// are stopped, and it waits until every open View and backup snapshot is
// closed. A store whose disk has failed may not come to its end; then an error
// says so after some seconds. Closing twice returns the same error again.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		close(s.closing)
		s.queue.close()
		s.closeErr = fault.Wrap(s.disk.unlessBroken(s.end), "close store %s", s.db.Opts().Dir)
	})
	return s.closeErr
}

// end waits for all that is under way and closes the database.
func (s *Store) end() error {
	<-s.committer.done
	s.tracker.shutdown()
	s.maintenance.Lock() // forever: nothing is rewritten from now on
	s.disk.committing()  // what is in memory
	err := s.db.Close()
	s.unwatch()
	return err
}

// ID returns the database id: 32 random hex digits made when the directory was
// made, by Open or by a restore.
func (s *Store) ID() string { return s.identity.DBID }

// Group returns the group whose records the store holds.
func (s *Store) Group() uint32 { return s.identity.Group }

// MaxTs returns the newest acknowledged commit ts.
func (s *Store) MaxTs() uint64 { return s.tracker.last() }

// MaxUID returns the highest uid that was handed out.
func (s *Store) MaxUID() uint64 { return s.committer.uid.Load() }

// Stats returns what was done since Open.
func (s *Store) Stats() Stats {
	return Stats{s.stats.commits.Load(), s.stats.groups.Load(), s.stats.reaped.Load()}
}

// PutLocal stores one local record (see Batch.PutLocal).
func (s *Store) PutLocal(ctx context.Context, space, key string, value []byte) error {
	b := &Batch{}
	b.PutLocal(space, key, value)
	_, err := s.Propose(ctx, b)
	return err
}

// DeleteLocal deletes one local record; deleting what does not exist is no error.
func (s *Store) DeleteLocal(ctx context.Context, space, key string) error {
	b := &Batch{}
	b.DeleteLocal(space, key)
	_, err := s.Propose(ctx, b)
	return err
}

// ScanLocal calls fn for the local records of a space, in ascending order of
// their keys, until fn returns an error, which ScanLocal returns. The value is
// fn's to keep.
func (s *Store) ScanLocal(ctx context.Context, space string, fn func(key string, value []byte) error) error {
	if flaw := spaceFlaw(space); flaw != "" {
		return fault.New(fault.Usage, "scan local records "+quote(space), "%s", flaw)
	}
	v, err := s.View()
	if err != nil {
		return err
	}
	defer v.Close()
	op := "scan local records " + space
	return v.reader.scanLocal(space, func(key string, value []byte) error {
		if err := v.stopped(ctx, op); err != nil {
			return err
		}
		return fn(key, value)
	})
}
