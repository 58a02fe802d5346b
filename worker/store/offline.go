package store

import (
	"errors"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/fault"
)

// OpenOffline opens a Badger directory that no process has open, to back it up.
// One of an alpha is described as the alpha itself would describe it, so that it
// can be restored into an alpha; of another one every key is backed up. The
// second result says which it is.
func OpenOffline(o backup.DirOptions) (*backup.DirSource, bool, error) {
	s, err := backup.OpenDir(o)
	if err != nil {
		return nil, false, err
	}
	offline := &Store{db: s.DB()}
	txn := s.DB().NewTransactionAt(max(s.DB().MaxVersion(), 1), false)
	defer txn.Discard()
	r := reader{txn}
	ours, err := r.readMark(keyIdentity, &offline.identity)
	if err == nil && ours {
		err = offline.identity.check(o.Dir, offline.identity.Group)
	}
	if err == nil && ours {
		_, err = r.readMark(keyRestored, &offline.restored)
	}
	if err != nil {
		return nil, false, errors.Join(fault.Wrap(err, "read the identity of %s", o.Dir), s.Close())
	}
	if ours {
		s.Describe = func(snap *backup.Snapshot) error { return describeOffline(offline, snap) }
	}
	return s, ours, nil
}

// GroupOf returns the group of a directory that OpenOffline said is an alpha's.
func GroupOf(db *badger.DB) (uint32, error) {
	txn := db.NewTransactionAt(max(db.MaxVersion(), 1), false)
	defer txn.Discard()
	var id identity
	_, err := reader{txn}.readMark(keyIdentity, &id)
	return id.Group, err
}

func describeOffline(s *Store, snap *backup.Snapshot) error {
	described, err := source{s}.describe(snap.Txn, snap.ReadTs)
	if err != nil {
		return err
	}
	snap.MaxUID, snap.Skip = described.MaxUID, described.Skip
	snap.Collections, snap.CollectionOf = described.Collections, described.CollectionOf
	return nil
}
