package backup

import (
	"bytes"
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
// While one is open, Badger keeps overwritten versions too and, unless conflict
// detection is off, what every transaction since has written: see Forget.
//
// DB.DropPrefix leaves no delete markers, and DB.Load, a KVLoader and a
// StreamWriter write at old versions: an incremental cannot show either. After
// one, take the next backup with ForceFull; do not run one during a backup.
// DropAll and BanNamespace are noticed: the next backup is a full.
//
// Open the database with ChecksumVerificationMode OnBlockRead and
// VerifyValueChecksum: by default Badger does not notice a flipped bit, and then
// neither does a backup.
type UnmanagedSource struct {
	db *badger.DB
	id string

	mu     sync.Mutex
	closed bool
	pins   map[string]*unmanagedPins // by destination
	bans   map[*badger.Txn]int       // namespaces banned when a snapshot was opened
}

// Unmanaged returns a Source for db, which must stay open until it is closed.
// It stores a random identity under the key "!brock!id" unless there is one;
// backups commit a marker under "!brock!marker".
func Unmanaged(db *badger.DB) (*UnmanagedSource, error) {
	const op = "back up an unmanaged database"
	switch {
	case isManaged(db):
		return nil, fault.New(fault.Usage, op, "it was opened with badger.OpenManaged").WithHint("use Managed for it")
	case db.Opts().ReadOnly:
		return nil, fault.New(fault.Usage, op, "it was opened read-only, and a backup stores the database's identity and a marker in it").
			WithHint("open it for writing, or with badger.OpenManaged and use Managed")
	}
	if err := checkOracle(); err != nil {
		return nil, err
	}
	s := &UnmanagedSource{db: db, pins: make(map[string]*unmanagedPins), bans: make(map[*badger.Txn]int)}
	err := db.Update(func(txn *badger.Txn) error {
		id, err := storedIdentity(txn)
		if err == nil && id == "" {
			id = randomHex(16)
			err = txn.Set(identityKey, []byte(id))
		}
		s.id = id
		return err
	})
	if err != nil {
		return nil, fault.Wrap(err, "read or store the identity of the database")
	}
	if raw, err := hex.DecodeString(s.id); err != nil || len(raw) != 16 || hex.EncodeToString(raw) != s.id {
		return nil, fault.New(fault.Corrupt, "use the identity of the database", "the value of key %q is malformed", identityKey).
			WithHint("delete that key; the next backup is then a full")
	}
	return s, nil
}

// storedIdentity returns what is stored as the identity, "" for nothing.
func storedIdentity(txn *badger.Txn) (string, error) {
	item, err := txn.Get(identityKey)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	id, err := item.ValueCopy(nil)
	return string(id), err
}

// isManaged finds out what kind db is. Badger can only be asked by using it
// wrongly: that panics.
func isManaged(db *badger.DB) (managed bool) {
	defer func() {
		if recover() != nil {
			managed = false
		}
	}()
	db.NewTransactionAt(1, false).Discard()
	return true
}

// Identity implements Source.
func (s *UnmanagedSource) Identity() string { return s.id }

// Begin implements Source.
func (s *UnmanagedSource) Begin(ctx context.Context) (*Snapshot, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var snap *Snapshot
	err := guarded(s.db, func() string { return "read the database" }, func() error {
		if err := s.mark(); err != nil {
			return fault.Wrap(err, "commit the marker record")
		}
		bans := len(s.db.BannedNamespaces())
		txn := s.db.NewTransaction(false)
		if err := checkReserved(txn); err != nil {
			discard(txn)
			return err
		}
		snap = &Snapshot{DB: s.db, Txn: txn, ReadTs: txn.ReadTs(), Skip: [][]byte{reservedPrefix}}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.bans[txn] = bans
		return nil
	})
	if err != nil {
		if snap != nil {
			discard(snap.Txn)
		}
		return nil, err
	}
	snap.Close = func() { s.closeSnapshot(snap.Txn) }
	return snap, nil
}

// mark commits the marker. A database that was emptied gets its identity back,
// and nothing that was held before counts.
func (s *UnmanagedSource) mark() error {
	emptied := false
	err := s.db.Update(func(txn *badger.Txn) error {
		id, err := storedIdentity(txn)
		if err != nil {
			return err
		}
		if emptied = id != s.id; emptied {
			if err := txn.Set(identityKey, []byte(s.id)); err != nil {
				return err
			}
		}
		return txn.Set(markerKey, nil)
	})
	if err != nil || !emptied {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for destination := range s.pins {
		s.forget(destination)
	}
	return nil
}

// checkReserved refuses keys of the program's under the reserved prefix: they
// would not be in the backup.
func checkReserved(txn *badger.Txn) error {
	it := txn.NewIterator(badger.IteratorOptions{Prefix: reservedPrefix})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		key := it.Item().Key()
		if !bytes.Equal(key, identityKey) && !bytes.Equal(key, markerKey) {
			return fault.New(fault.Usage, "back up the database", "the key %.80q begins with %q, which is reserved and never backed up", key, reservedPrefix).
				WithHint("give that record another key")
		}
	}
	return nil
}

func (s *UnmanagedSource) closeSnapshot(txn *badger.Txn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.bans, txn)
	for _, p := range s.pins {
		if p.committed != nil && p.committed.txn == txn || p.pending != nil && p.pending.txn == txn {
			return
		}
	}
	discard(txn)
}
