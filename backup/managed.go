package backup

import (
	"context"
	"encoding/hex"
	"fmt"
	"sync"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup/fault"
)

// ManagedSource is a Source for a database whose program assigns the commit
// timestamps (badger.OpenManaged).
//
// Badger drops delete markers at or below the discard timestamp. The program
// must therefore set it through ManagedSource.SetDiscardTs and never through
// DB.SetDiscardTs: the source holds it back to what the next incremental needs.
// Where that was not done, the next backup is a full or, when it was done past a
// running backup's snapshot, fails. There is one ManagedSource of a database.
// What it holds back it knows in memory only: after a restart the next backup
// is a full.
//
// DB.DropPrefix and DB.DropAll leave no delete markers, and DB.Load, a KVLoader
// and a StreamWriter write at old versions: an incremental cannot show either.
// After one, take the next backup with ForceFull; do not run one during a
// backup. BanNamespace is noticed: the next backup is a full.
type ManagedSource struct {
	db   *badger.DB
	opts ManagedOptions

	mu      sync.Mutex
	wanted  uint64                  // what the program asked for
	applied uint64                  // what the database was told
	open    map[*Snapshot]int       // and the namespaces banned when it was opened
	pins    map[string]*managedPins // by destination
}

type managedPins struct {
	committed, pending *managedPin
	extended           *managedPin // what Extendable said yes to last
}

type managedPin struct {
	Head
	bans int
}

// ManagedOptions tell a ManagedSource about its program.
type ManagedOptions struct {
	// Identity is the database's random id, 32 hex digits, which the program
	// keeps. Empty means a new one per process: the first backup of the next
	// process must be a ForceFull then, because the series at the destination
	// looks like another database's.
	Identity string

	// ReadTs returns the timestamp to back up at: every commit at or below it
	// has finished, and it is not below the discard timestamp. Required.
	ReadTs func() uint64

	// Marker, when set, commits a tiny record of the program's and returns its
	// commit timestamp, which ReadTs must have reached when it returns. It
	// makes the next incremental cheap (see Source.Begin).
	Marker func(ctx context.Context) (commitTs uint64, err error)
}

// Managed returns a Source for db, which must stay open while it is used.
func Managed(db *badger.DB, opts ManagedOptions) (*ManagedSource, error) {
	if opts.ReadTs == nil {
		return nil, fault.New(fault.Usage, "back up a managed database", "ManagedOptions.ReadTs must be set")
	}
	if opts.Identity == "" {
		opts.Identity = randomHex(16)
	}
	if raw, err := hex.DecodeString(opts.Identity); err != nil || len(raw) != 16 || hex.EncodeToString(raw) != opts.Identity {
		return nil, fault.New(fault.Usage, "back up a managed database", "ManagedOptions.Identity is not 32 lower-case hex digits")
	}
	if !isManaged(db) {
		return nil, fault.New(fault.Usage, "back up a managed database", "it was not opened with badger.OpenManaged").WithHint("use Unmanaged for it")
	}
	if err := checkOracle(); err != nil {
		return nil, err
	}
	return &ManagedSource{db: db, opts: opts, open: make(map[*Snapshot]int), pins: make(map[string]*managedPins),
		applied: discardTsOf(db)}, nil
}

// SetDiscardTs takes the place of DB.SetDiscardTs: versions below ts are not
// read any more. The database is told once backups do not need them either.
func (s *ManagedSource) SetDiscardTs(ts uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wanted = max(s.wanted, ts)
	s.apply()
}

// apply tells the database the highest discard timestamp that nothing forbids.
func (s *ManagedSource) apply() {
	ts := s.wanted
	for snap := range s.open {
		ts = min(ts, snap.ReadTs)
	}
	for _, p := range s.pins {
		for _, pin := range []*managedPin{p.committed, p.pending} {
			if pin != nil {
				ts = min(ts, pin.ReadTs)
			}
		}
	}
	if ts > s.discarded() {
		s.applied = ts
		s.db.SetDiscardTs(ts)
	}
}

// discarded returns the database's discard timestamp, whoever set it.
func (s *ManagedSource) discarded() uint64 {
	s.applied = max(s.applied, discardTsOf(s.db))
	return s.applied
}

// Identity implements Source.
func (s *ManagedSource) Identity() string { return s.opts.Identity }

// Begin implements Source. While it looks for a timestamp, no more is discarded:
// another commit could finish in between and raise the discard timestamp.
func (s *ManagedSource) Begin(ctx context.Context) (*Snapshot, error) {
	snap := s.register()
	err := guarded(s.db, func() string { return "read the database" }, func() error { return s.begin(ctx, snap) })
	if err != nil {
		s.unregister(snap)
		return nil, err
	}
	return snap, nil
}

// register holds the discard timestamp where it is.
func (s *ManagedSource) register() *Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	snap := &Snapshot{DB: s.db, ReadTs: s.discarded()}
	s.open[snap] = len(s.db.BannedNamespaces())
	return snap
}

func (s *ManagedSource) unregister(snap *Snapshot) {
	if snap.Txn != nil {
		discard(snap.Txn)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, snap)
	s.apply()
}

func (s *ManagedSource) begin(ctx context.Context, snap *Snapshot) (err error) {
	readTs := uint64(0)
	if s.opts.Marker != nil {
		if readTs, err = s.opts.Marker(ctx); err != nil {
			return fault.Wrap(err, "commit the marker record")
		}
	}
	if readTs == 0 {
		readTs = s.opts.ReadTs()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if readTs == 0 || readTs < s.discarded() {
		return fault.New(fault.Usage, "read the database", "the snapshot's timestamp %d is 0 or below the discard timestamp %d", readTs, s.applied).
			WithHint("ReadTs must not return 0 nor less than what SetDiscardTs was given")
	}
	snap.ReadTs, snap.Txn = readTs, s.db.NewTransactionAt(readTs, false)
	snap.Close = sync.OnceFunc(func() { s.unregister(snap) })
	return nil
}

// Extendable implements Source.
func (s *ManagedSource) Extendable(_ context.Context, head Head) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pins[head.Destination]
	if p == nil {
		return restartedReason, nil
	}
	for _, pin := range []*managedPin{p.committed, p.pending} {
		if pin == nil || pin.Digest != head.Digest {
			continue
		}
		if pin.bans != len(s.db.BannedNamespaces()) {
			return bannedReason, nil
		}
		if ts := s.discarded(); ts > pin.ReadTs {
			return fmt.Sprintf("the discard timestamp %d was set past the last backup's version %d (DB.SetDiscardTs), and deletes in between may be gone", ts, pin.ReadTs), nil
		}
		p.extended = pin
		return "", nil
	}
	return foreignReason, nil
}

// Prepare implements Source.
func (s *ManagedSource) Prepare(_ context.Context, snap *Snapshot, head Head) error {
	const op = "keep deletes visible"
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pins[head.Destination]
	switch {
	case head.BackupNum > 1 && (p == nil || p.extended == nil):
		return fault.New(fault.Other, op, "what it stands on was let go during the backup (Forget, or another backup)").WithHint("run the backup again")
	case head.BackupNum > 1 && p.extended.bans != len(s.db.BannedNamespaces()):
		return fault.New(fault.Other, op, "a namespace was banned during the backup").WithHint("run the backup again")
	case p == nil:
		p = new(managedPins)
		s.pins[head.Destination] = p
	}
	p.pending = &managedPin{head, s.open[snap]}
	return nil
}

// Committed implements Source.
func (s *ManagedSource) Committed(_ context.Context, head Head) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pins[head.Destination]
	if p == nil || p.pending == nil || p.pending.Digest != head.Digest {
		return fault.New(fault.Other, "record backup", "it was not prepared, or Forget was called meanwhile")
	}
	p.committed, p.pending, p.extended = p.pending, nil, nil
	s.apply()
	return nil
}

// Forget lets the deletes go that were kept for the next incremental at a
// destination (its canonical URI): the next backup there is a full.
func (s *ManagedSource) Forget(destination string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pins, destination)
	s.apply()
}
