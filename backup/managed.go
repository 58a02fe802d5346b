package backup

import (
	"context"
	"encoding/hex"
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
// What it holds back it knows in memory only: after a restart the next backup
// is a full.
type ManagedSource struct {
	db   *badger.DB
	opts ManagedOptions

	mu      sync.Mutex
	wanted  uint64 // what the program asked for
	applied uint64 // what the database was told
	open    map[*Snapshot]struct{}
	pins    map[string]*managedPins // by destination
}

type managedPins struct{ committed, pending *Head }

// ManagedOptions tell a ManagedSource about its program.
type ManagedOptions struct {
	// Identity is the database's random id, 32 hex digits, which the program
	// keeps. Empty means a new one per process.
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
	return &ManagedSource{db: db, opts: opts, open: make(map[*Snapshot]struct{}), pins: make(map[string]*managedPins)}, nil
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
		for _, head := range []*Head{p.committed, p.pending} {
			if head != nil {
				ts = min(ts, head.ReadTs)
			}
		}
	}
	if ts > s.applied {
		s.applied = ts
		s.db.SetDiscardTs(ts)
	}
}

// Identity implements Source.
func (s *ManagedSource) Identity() string { return s.opts.Identity }

// Begin implements Source.
func (s *ManagedSource) Begin(ctx context.Context) (*Snapshot, error) {
	readTs := uint64(0)
	if s.opts.Marker != nil {
		ts, err := s.opts.Marker(ctx)
		if err != nil {
			return nil, fault.Wrap(err, "commit the marker record")
		}
		readTs = ts
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if readTs == 0 {
		readTs = s.opts.ReadTs()
	}
	if readTs == 0 || readTs < s.applied {
		return nil, fault.New(fault.Usage, "open a snapshot", "its timestamp %d is below the discard timestamp %d", readTs, s.applied).
			WithHint("ReadTs must not return 0 nor less than what SetDiscardTs was given")
	}
	txn := s.db.NewTransactionAt(readTs, false)
	snap := &Snapshot{DB: s.db, Txn: txn, ReadTs: readTs}
	s.open[snap] = struct{}{}
	snap.Close = sync.OnceFunc(func() {
		txn.Discard()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.open, snap)
		s.apply()
	})
	return snap, nil
}

// Extendable implements Source.
func (s *ManagedSource) Extendable(_ context.Context, head Head) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pins[head.Destination]
	switch {
	case p == nil:
		return "the process has restarted since the last backup here (or this is its first), and deletes made in between cannot be seen any more", nil
	case p.committed != nil && p.committed.Digest == head.Digest, p.pending != nil && p.pending.Digest == head.Digest:
		return "", nil
	}
	return "the newest backup here was not made by this process", nil
}

// Prepare implements Source.
func (s *ManagedSource) Prepare(_ context.Context, _ *Snapshot, head Head) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pins[head.Destination]
	if p == nil {
		p = new(managedPins)
		s.pins[head.Destination] = p
	}
	p.pending = &head
	return nil
}

// Committed implements Source.
func (s *ManagedSource) Committed(_ context.Context, head Head) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pins[head.Destination]
	if p == nil || p.pending == nil || p.pending.Digest != head.Digest {
		return fault.New(fault.Other, "record backup", "it was not prepared")
	}
	p.committed, p.pending = &head, nil
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
