package backup

import (
	"context"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup/fault"
)

// unmanagedPins are the transactions held for one destination.
type unmanagedPins struct {
	committed, pending *unmanagedPin
	extended           *unmanagedPin // what Extendable said yes to last
}

type unmanagedPin struct {
	digest string
	txn    *badger.Txn
	oracle uintptr // the transaction's
	bans   int
}

// release ends the transaction. When the database was emptied and filled again
// by a StreamWriter, Badger has replaced what counts transactions, and would end
// the process over one that it does not know.
func (p *unmanagedPin) release(db *badger.DB) {
	if p != nil && p.oracle == oracleOf(db) {
		discard(p.txn)
	}
}

// Close releases the transactions that keep deletes visible. The next backup
// of the database, through another Source, is a full. A backup that runs fails.
func (s *UnmanagedSource) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for destination := range s.pins {
		s.forget(destination)
	}
}

// Forget lets go what was kept for the next incremental at a destination (its
// canonical URI): the next backup there is a full.
//
// A program that writes much between backups, with conflict detection on, may
// want that. Measured: while a transaction is held, each commit since keeps 240
// bytes of memory, and 1000 of them make every read-write transaction half a
// microsecond slower. With Options.DetectConflicts off there is no such cost.
func (s *UnmanagedSource) Forget(destination string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(destination)
}

func (s *UnmanagedSource) forget(destination string) {
	if p := s.pins[destination]; p != nil {
		p.committed.release(s.db)
		p.pending.release(s.db)
		delete(s.pins, destination)
	}
}

// Extendable implements Source.
func (s *UnmanagedSource) Extendable(_ context.Context, head Head) (string, error) {
	reason, err := s.emptied()
	if reason != "" || err != nil {
		return reason, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pins[head.Destination]
	if p == nil {
		return restartedReason, nil
	}
	for _, pin := range []*unmanagedPin{p.committed, p.pending} {
		if pin == nil || pin.digest != head.Digest {
			continue
		}
		if pin.bans != len(s.db.BannedNamespaces()) {
			return bannedReason, nil
		}
		p.extended = pin
		return "", nil
	}
	return foreignReason, nil
}

// Why an incremental would lose something, for people.
const (
	restartedReason = "the process has restarted since the last backup here (or this is its first), and deletes made in between cannot be seen any more"
	foreignReason   = "the newest backup here was not made by this process"
	bannedReason    = "a namespace was banned since the last backup, which leaves nothing that an incremental could show"
	emptiedReason   = "the database was emptied (DropAll) since the last backup, which leaves nothing that an incremental could show"
)

// emptied finds out whether the identity has vanished.
func (s *UnmanagedSource) emptied() (reason string, err error) {
	err = guarded(s.db, func() string { return "read the identity of the database" }, func() error {
		return s.db.View(func(txn *badger.Txn) error {
			id, err := storedIdentity(txn)
			if id != s.id {
				reason = emptiedReason
			}
			return err
		})
	})
	return reason, err
}

// Prepare implements Source: the snapshot's own transaction becomes the pin.
func (s *UnmanagedSource) Prepare(_ context.Context, snap *Snapshot, head Head) error {
	const op = "keep deletes visible"
	reason, err := s.emptied()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pins[head.Destination]
	switch {
	case s.closed:
		return fault.New(fault.Other, op, "the source was closed during the backup")
	case reason != "" || head.BackupNum > 1 && (p == nil || p.extended == nil):
		return fault.New(fault.Other, op, "the database was emptied, or what the backup stands on was let go, while it ran (DropAll, Forget, or another backup)").WithHint("run the backup again")
	case head.BackupNum > 1 && p.extended.bans != len(s.db.BannedNamespaces()):
		return fault.New(fault.Other, op, "a namespace was banned during the backup").WithHint("run the backup again")
	case p == nil:
		p = new(unmanagedPins)
		s.pins[head.Destination] = p
	}
	p.pending.release(s.db)
	p.pending = &unmanagedPin{digest: head.Digest, txn: snap.Txn, oracle: oracleOf(s.db), bans: s.bans[snap.Txn]}
	return nil
}

// Committed implements Source.
func (s *UnmanagedSource) Committed(_ context.Context, head Head) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pins[head.Destination]
	if p == nil || p.pending == nil || p.pending.digest != head.Digest {
		return fault.New(fault.Other, "record backup", "it was not prepared, or the source was closed meanwhile")
	}
	p.committed.release(s.db)
	p.committed, p.pending, p.extended = p.pending, nil, nil
	return nil
}
