package store

import (
	"cmp"
	"errors"
	"fmt"
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
	o = o.withDefaults()
	var acknowledged uint64
	err := patiently(func() (err error) {
		acknowledged, err = prepareDir(o.Dir, o.Logger)
		return err
	})
	if err != nil {
		return nil, openError(o.Dir, err)
	}
	if err := o.AtRest.CheckAtRest(o.Dir); err != nil {
		return nil, err
	}
	s := &Store{now: o.Now, closing: make(chan struct{}), queue: newQueue(), ghosts: &ghostbook{dir: o.Dir}}
	s.disk = newDisk(o.Now, s.queue.ring)
	s.disk.acknowledged.Store(acknowledged)
	s.ghosts.acknowledged = s.disk.acknowledged.Load
	s.compactions = &compactions{ghosts: s.ghosts, lost: s.disk.fail, begun: make(map[string]int)}
	s.committer = &committer{
		queue: s.queue, disk: s.disk, log: o.Logger, now: s.now, stats: &s.stats, done: make(chan struct{}),
		collections: make(map[Ref]uint64), restoring: make(map[Ref]bool), incoming: make(map[uint64]struct{}),
		commit:    o.commit,
		reaper:    reaper{idleDelay: o.reapDelay, maintenance: &s.maintenance},
		diskSpace: diskSpace{o.MinFreeBytes, o.free, s.tableBytes},
	}
	var db *badger.DB
	unwatch := s.compactions.watch()
	err = patiently(func() (err error) {
		db, err = badger.OpenManaged(badgerOptions(o, s))
		return err
	})
	if err != nil {
		unwatch()
		return nil, openError(o.Dir, err)
	}
	s.unwatch = unwatch
	s.db, s.committer.db = db, db
	s.committer.maxCount, s.committer.maxSmall = db.MaxBatchCount(), db.MaxBatchSize()
	s.committer.maxTotal = maxGroupBytes
	if err = s.load(o); err == nil {
		err = s.complete(acknowledged)
	}
	if err != nil {
		err = errors.Join(err, fault.Wrap(db.Close(), "close store %s", o.Dir))
		unwatch()
		return nil, err
	}
	go s.committer.run()
	return s, nil
}

// badgerOptions returns the options of the store. Block checksums are verified
// when a block is read: verifying them when a table is opened would read the
// whole store at every start.
func badgerOptions(o Options, s *Store) badger.Options {
	logger := badgerLogger{out: o.Logger, workFailed: s.workFailed, debug: s.compactions.debug,
		syncFailed: func(err error) { s.committer.syncFailure.CompareAndSwap(nil, &err) }}
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

// workFailed is told what failed of Badger's background work. A MANIFEST in doubt
// ends the store: what Badger adds to it now may build on what is not there. The
// note is made before Badger tries again.
func (s *Store) workFailed(cause error, manifest bool) {
	s.compactions.failed()
	s.disk.missed(cause)
	if !manifest {
		return
	}
	s.disk.fail(fmt.Errorf("the list of tables could not be written: %w", cause))
	if err := s.ghosts.write(cause); err != nil {
		s.committer.log.Errorf("cannot note in %s what failed: %v", ghostsName, err)
	}
}

// complete reports whether what was acknowledged before the disk failed is there.
func (s *Store) complete(acknowledged uint64) error {
	found := s.committer.lastTs
	if found >= acknowledged {
		s.disk.acknowledged.Store(found)
		return nil
	}
	err := fault.New(fault.Corrupt, "open store "+s.ghosts.dir, "commits up to %d were acknowledged before its disk failed, and the newest that is found is %d",
		acknowledged, found).WithHint(restoreHint)
	return errors.Join(err, s.ghosts.write(err)) // the next time as well
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
	if err := s.endRewrite(r); err != nil {
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
