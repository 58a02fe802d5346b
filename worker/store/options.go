package store

import (
	"time"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/ee"
)

// DefaultPinMaxAge is a day more than a week, so that the next of a series of
// weekly backups still finds its pin.
const DefaultPinMaxAge = 8 * 24 * time.Hour

// Options says which store to open and how.
type Options struct {
	// Dir is the directory. A missing or empty one becomes a new store.
	Dir string
	// Group is the group whose records the store holds, 1 and up. A directory
	// of another group is refused.
	Group uint32
	// AtRest encrypts the directory, with Badger's own encryption; the zero Key
	// leaves it plain. A directory stays what it was made as.
	AtRest ee.Key
	// BlockCacheBytes bounds the memory for decompressed blocks; 0 means 64 MiB.
	BlockCacheBytes int64
	// PinMaxAge is how long deletes are kept for a series of backups that is
	// not extended; 0 means 8 days, so that a weekly backup finds its pin, and a
	// negative age means forever.
	PinMaxAge time.Duration
	// PinMaxGrowth is by how many bytes the store may grow while deletes are kept;
	// 0 means by any.
	PinMaxGrowth int64
	// MinFreeBytes is how much room the disk must have, beside the size of the
	// store's tables or 2 GiB if that is less, for records to be stored; 0
	// means 512 MiB, a negative number not to look. What stores no records may
	// use three quarters of it.
	MinFreeBytes int64
	// Logger receives warnings and errors; nil means glog.
	Logger Logger
	// Now is the clock for ages and marks; nil means time.Now.
	Now func() time.Time

	// Of tests: small memtables and the like; a delay instead of reapIdleDelay;
	// a commit that blocks or fails; a disk that fills up.
	tune      func(*badger.Options)
	reapDelay time.Duration
	commit    func(txn *badger.Txn, ts uint64) error
	free      func() (n int64, known bool, err error)
}

const (
	defaultBlockCacheBytes = 64 << 20
)

// withDefaults fills in what is not set.
func (o Options) withDefaults() Options {
	if o.BlockCacheBytes == 0 {
		o.BlockCacheBytes = defaultBlockCacheBytes
	}
	if o.PinMaxAge == 0 {
		o.PinMaxAge = DefaultPinMaxAge
	}
	if o.MinFreeBytes == 0 {
		o.MinFreeBytes = defaultMinFreeBytes
	}
	if o.Logger == nil {
		o.Logger = glogLogger{}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.reapDelay == 0 {
		o.reapDelay = reapIdleDelay
	}
	if o.commit == nil {
		o.commit = func(txn *badger.Txn, ts uint64) error { return txn.CommitAt(ts, nil) }
	}
	if o.free == nil {
		o.free = func() (int64, bool, error) { return freeBytes(o.Dir) }
	}
	return o
}
