package backup

import (
	"context"
	"encoding/hex"
	"errors"
	"sync"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup/fault"
)

// Reserved keys in an unmanaged database. They are never backed up, so that
// what is restored from a backup counts as another database.
var (
	reservedPrefix = []byte("!brock!")
	identityKey    = []byte("!brock!id")
	markerKey      = []byte("!brock!marker")
)

// UnmanagedSource is a Source for a database whose timestamps Badger assigns
// (badger.Open).
//
// Deletes are kept visible by read transactions that it holds open, from each
// backup's snapshot until the next one at the same destination is stored. They
// live as long as the process: after a restart the next backup is a full.
// While one is open, Badger also keeps overwritten versions.
//
// DB.DropPrefix and DB.DropAll leave no delete markers. After one, take the
// next backup with ForceFull, or the dropped keys come back on restore.
type UnmanagedSource struct {
	db *badger.DB
	id string

	mu   sync.Mutex
	pins map[string]*unmanagedPins // by destination
}

// unmanagedPins are the transactions held for one destination.
type unmanagedPins struct{ committed, pending *unmanagedPin }

type unmanagedPin struct {
	digest string
	txn    *badger.Txn
}

func (p *unmanagedPin) release() {
	if p != nil {
		p.txn.Discard()
	}
}

// Unmanaged returns a Source for db, which must stay open until it is closed.
// It stores a random identity under the key "!brock!id" unless there is one;
// backups commit a marker under "!brock!marker".
func Unmanaged(db *badger.DB) (*UnmanagedSource, error) {
	s := &UnmanagedSource{db: db, pins: make(map[string]*unmanagedPins)}
	err := db.Update(func(txn *badger.Txn) error {
		item, err := txn.Get(identityKey)
		if errors.Is(err, badger.ErrKeyNotFound) {
			s.id = randomHex(16)
			return txn.Set(identityKey, []byte(s.id))
		}
		if err != nil {
			return err
		}
		id, err := item.ValueCopy(nil)
		s.id = string(id)
		return err
	})
	if err != nil {
		return nil, fault.Wrap(err, "read or store the identity of the database")
	}
	if raw, err := hex.DecodeString(s.id); err != nil || len(raw) != 16 {
		return nil, fault.New(fault.Corrupt, "use the identity of the database", "the value of key %q is malformed", identityKey).
			WithHint("delete that key; the next backup is then a full")
	}
	return s, nil
}

// Close releases the transactions that keep deletes visible. The next backup
// of the database, through another Source, is a full.
func (s *UnmanagedSource) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.pins {
		p.committed.release()
		p.pending.release()
	}
	clear(s.pins)
}

// Identity implements Source.
func (s *UnmanagedSource) Identity() string { return s.id }

// Begin implements Source.
func (s *UnmanagedSource) Begin(ctx context.Context) (*Snapshot, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	err := s.db.Update(func(txn *badger.Txn) error { return txn.Set(markerKey, nil) })
	if err != nil {
		return nil, fault.Wrap(err, "commit the marker record")
	}
	txn := s.db.NewTransaction(false)
	snap := &Snapshot{DB: s.db, Txn: txn, ReadTs: txn.ReadTs(), Skip: [][]byte{reservedPrefix}}
	snap.Close = func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.holds(txn) {
			txn.Discard()
		}
	}
	return snap, nil
}

func (s *UnmanagedSource) holds(txn *badger.Txn) bool {
	for _, p := range s.pins {
		if p.committed != nil && p.committed.txn == txn || p.pending != nil && p.pending.txn == txn {
			return true
		}
	}
	return false
}

// Extendable implements Source.
func (s *UnmanagedSource) Extendable(_ context.Context, head Head) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pins[head.Destination]
	switch {
	case p == nil:
		return "the process has restarted since the last backup here (or this is its first), and deletes made in between cannot be seen any more", nil
	case p.committed != nil && p.committed.digest == head.Digest:
		return "", nil
	case p.pending != nil && p.pending.digest == head.Digest:
		return "", nil
	}
	return "the newest backup here was not made by this process", nil
}

// Prepare implements Source: the snapshot's own transaction becomes the pin.
func (s *UnmanagedSource) Prepare(_ context.Context, snap *Snapshot, head Head) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pins[head.Destination]
	if p == nil {
		p = new(unmanagedPins)
		s.pins[head.Destination] = p
	}
	p.pending.release()
	p.pending = &unmanagedPin{digest: head.Digest, txn: snap.Txn}
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
	p.committed.release()
	p.committed, p.pending = p.pending, nil
	return nil
}
