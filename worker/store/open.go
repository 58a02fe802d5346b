package store

import (
	"cmp"
	"errors"
	"math"
	"slices"

	badger "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"github.com/brockdb/brock/backup/fault"
)

const (
	memTableBytes = 64 << 20
	// Values from here on go to the value log; it is Badger's upper limit.
	valueThreshold = 1 << 20
)

// Open opens the store in o.Dir and creates it when the directory is missing or
// empty. The error is of kind Locked when another process has it open, Mixed
// with a *GroupError when it belongs to another group, as ee.Key.CheckAtRest says
// when o.AtRest is not its key, Usage when it is something else than a brock
// store; then nothing in it was changed for good.
func Open(o Options) (*Store, error) {
	if o.Dir == "" || o.Group == 0 {
		return nil, fault.New(fault.Usage, "open store", "a directory and a group of at least 1 are needed")
	}
	if err := patiently(func() error { return prepareDir(o.Dir) }); err != nil {
		return nil, openError(o.Dir, err)
	}
	if err := o.AtRest.CheckAtRest(o.Dir); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	s := &Store{now: o.Now, closing: make(chan struct{}), queue: newQueue()}
	s.committer = &committer{
		queue: s.queue, log: o.Logger, now: s.now, stats: &s.stats, done: make(chan struct{}),
		collections: make(map[Ref]uint64), restoring: make(map[Ref]bool), incoming: make(map[uint64]struct{}),
		commit:    o.commit,
		reaper:    reaper{idleDelay: o.reapDelay, maintenance: &s.maintenance},
		diskSpace: diskSpace{o.MinFreeBytes, o.free, s.tableBytes},
	}
	var db *badger.DB
	err := patiently(func() (err error) {
		db, err = badger.OpenManaged(badgerOptions(o, s.committer))
		return err
	})
	if err != nil {
		return nil, openError(o.Dir, err)
	}
	s.db, s.committer.db = db, db
	s.committer.maxCount, s.committer.maxSmall = db.MaxBatchCount(), db.MaxBatchSize()
	s.committer.maxTotal = maxGroupBytes
	if err := s.load(o); err != nil {
		return nil, errors.Join(err, fault.Wrap(db.Close(), "close store %s", o.Dir))
	}
	go s.committer.run()
	return s, nil
}

// badgerOptions returns the options of the store. Block checksums are verified
// when a block is read: verifying them when a table is opened would read the
// whole store at every start.
func badgerOptions(o Options, c *committer) badger.Options {
	logger := badgerLogger{out: o.Logger, syncFailed: func(err error) { c.syncFailure.CompareAndSwap(nil, &err) }}
	opts := badger.DefaultOptions(o.Dir).
		WithSyncWrites(true).
		WithDetectConflicts(false).
		WithNumVersionsToKeep(1).
		WithMemTableSize(memTableBytes).
		WithValueThreshold(valueThreshold).
		WithBlockCacheSize(o.BlockCacheBytes).
		WithChecksumVerificationMode(options.OnBlockRead).
		WithVerifyValueChecksum(true).
		WithLogger(logger)
	opts = o.AtRest.AtRest(opts)
	if o.tune != nil {
		o.tune(&opts)
	}
	return opts
}

// load reads who the store is and where it stands, before anything can be
// discarded: Badger discards nothing until it is told a timestamp.
func (s *Store) load(o Options) error {
	txn := s.db.NewTransactionAt(math.MaxUint64, false)
	defer txn.Discard()
	r := reader{txn}
	found, err := r.readMark(keyIdentity, &s.identity)
	if err != nil {
		return fault.Wrap(err, "open store %s", o.Dir)
	}
	if !found {
		return s.create(r, o)
	}
	if err := s.identity.check(o.Dir, o.Group); err != nil {
		return err
	}
	return fault.Wrap(s.loadState(r, o), "open store %s", o.Dir)
}

// create makes the identity of a store that has nothing in it.
func (s *Store) create(r reader, o Options) error {
	op := "open store " + o.Dir
	err := r.scan(nil, nil, func(*badger.Item) error { return errEnd })
	if errors.Is(err, errEnd) {
		return fault.New(fault.Usage, op, "it is a Badger store, but not brock's").
			WithHint("name an empty directory, or one that does not exist")
	}
	if err != nil {
		return fault.Wrap(err, "%s", op)
	}
	s.identity = newIdentity(o.Group)
	if err := s.loadState(r, o); err != nil {
		return fault.Wrap(err, "%s", op)
	}
	mark, err := markRecord(keyIdentity, s.identity)
	if err != nil {
		return fault.Wrap(err, "%s", op)
	}
	g := s.committer.newGroup()
	g.add(&plan{
		proposal: newProposal(&prepared{}),
		writes:   []write{{mark.Key, mark.Value}},
		nextID:   g.nextID, maxUID: g.maxUID,
	})
	if err := s.committer.write(g); err != nil {
		return fault.Wrap(err, "%s", op)
	}
	s.committer.takeOver(g)
	return nil
}

// loadState fills the committer and the tracker. A commit ts is never used
// twice: the newest version in the store is not enough to know the last one,
// since compaction may have discarded the delete markers that carried it.
func (s *Store) loadState(r reader, o Options) error {
	c := s.committer
	var commitMark uint64
	if _, err := r.readMark(keyCommit, &commitMark); err != nil {
		return err
	}
	if _, err := r.readMark(keyRestored, &s.restored); err != nil {
		return err
	}
	c.lastTs = max(s.db.MaxVersion(), commitMark, s.restored.ReadTs)
	s.tracker = newTracker(c.lastTs, s.db.SetDiscardTs, o.PinMaxAge)
	s.tracker.pinMaxGrowth, s.tracker.size = o.PinMaxGrowth, s.Bytes
	s.tracker.released = func() {
		if c.waiting.Load() {
			s.queue.ring() // what the snapshot held back may be reaped now
		}
	}
	c.tracker = s.tracker
	if err := s.loadCatalog(r); err != nil {
		return err
	}
	if err := s.loadSeries(r); err != nil {
		return err
	}
	if err := s.loadReaps(r); err != nil {
		return err
	}
	s.tracker.publish(c.lastTs, nil) // only now: the pins are known
	return s.dropUnfinished(r)
}

func (s *Store) loadCatalog(r reader) error {
	c := s.committer
	nextID, err := r.counter(counterNextID)
	if err != nil {
		return err
	}
	maxUID, err := r.counter(counterMaxUID)
	if err != nil {
		return err
	}
	c.nextID = max(nextID, 1)
	c.maxUID = max(maxUID, s.restored.MaxUID)
	c.uid.Store(c.maxUID)
	return r.collections(catalogPrefix(), func(collection Collection) error {
		c.collections[Ref{collection.Namespace, collection.Name}] = collection.ID
		c.nextID = max(c.nextID, collection.ID+1)
		return nil
	})
}

func (s *Store) loadSeries(r reader) error {
	return r.scanLocal(spaceSeries, func(id string, value []byte) error {
		state, err := decodeSeries(id, value)
		if err == nil {
			s.tracker.series[id] = state
		}
		return err
	})
}

func (s *Store) loadReaps(r reader) error {
	var reaps []reap
	err := r.scanLocal(spaceReap, func(key string, value []byte) error {
		reap, err := decodeReap(key, value)
		reaps = append(reaps, reap)
		return err
	})
	slices.SortFunc(reaps, func(a, b reap) int { return cmp.Compare(a.dropped, b.dropped) })
	s.committer.dropped(reaps)
	return err
}
