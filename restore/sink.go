package restore

import (
	"math"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup/archive"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/ee"
)

// sink writes restored records into Badger.
type sink interface {
	// slice begins a slice; numbers ascend with the keys, from 1. Many
	// goroutines call it, and write their slices at the same time.
	slice(number int) (sliceWriter, error)
	// finish makes everything durable and returns how many records the
	// database holds.
	finish() (records int64, err error)
	// abort gives up; it is called after a failure instead of finish.
	abort() error
}

// sliceWriter receives a slice's records in key order, versions newest first.
type sliceWriter interface {
	add(*archive.Record) error
	close() error
}

// SinkKind says how records get into Badger.
type SinkKind uint8

const (
	// SinkAuto is SinkTables where it can be used, else SinkStream.
	SinkAuto SinkKind = iota
	// SinkStream is badger.StreamWriter, the supported way.
	SinkStream
	// SinkTables writes Badger's tables and MANIFEST itself: faster, and with
	// a third of the memory. It cannot write a value log, so values must be
	// below Badger's value threshold, and not into an open database. Asked for
	// by name, it does not ask which Badger version the program is built with.
	// It does not encrypt directories.
	SinkTables
)

const (
	// targetCacheBytes is what Badger asks for with compression; writing reads little.
	targetCacheBytes = 8 << 20
	// targetMemTableBytes is the least that goes with Badger's value threshold;
	// nothing is written through a memtable.
	targetMemTableBytes = 8 << 20
)

// targetOptions are the options restored directories are written with. Any
// options that open them later are fine, but for the at-rest key.
func targetOptions(dir string, atRest ee.Key) badger.Options {
	return atRest.AtRest(badger.DefaultOptions(dir).WithLogger(nil).WithMetricsEnabled(false).WithDetectConflicts(false).
		WithMemTableSize(targetMemTableBytes).
		WithBlockCacheSize(targetCacheBytes).WithIndexCacheSize(0).WithNumVersionsToKeep(1 << 30).WithCompactL0OnClose(false))
}

// tableBytes returns the size of tables at the last level for at most rawBytes
// of records: twice maxTableRaw, or less. Badger's own are of 64 MiB at most (2 MiB
// doubled for each of the levels 2 to 6). Its builder sets aside twice as much, and
// Go lets the heap grow to twice what is in use, so this is what bounds a restore.
func tableBytes(rawBytes int64) uint64 {
	const most, least = 2 * maxTableRaw, 1 << 20
	return uint64(min(max(rawBytes, least), most))
}

// newSink chooses and opens the sink for one group.
func (r *Restore) newSink(dir string, g *GroupPlan) (sink, error) {
	var largest, rawBytes int64
	for _, m := range g.members {
		rawBytes += m.manifest.Groups[g.Group].RawBytes
		for i := range m.list.Parts {
			largest = max(largest, m.list.Parts[i].LargestValue)
		}
	}
	for _, mark := range g.marks {
		largest = max(largest, int64(len(mark.Value)))
	}
	fits := r.DB == nil && r.AtRest.IsZero() && largest < targetOptions("", r.AtRest).ValueThreshold
	switch {
	case r.Sink == SinkAuto && fits && tablesKnown() == nil:
		return newTableSink(dir, rawBytes)
	case r.Sink == SinkTables && fits:
		return newTableSink(dir, rawBytes)
	case r.Sink == SinkTables:
		return nil, fault.New(fault.Usage, "write tables directly", "a value has %d bytes, or the target is encrypted or an open database", largest).
			WithHint("leave the sink to be chosen")
	}
	return newStreamSink(dir, r.DB, rawBytes, r.AtRest)
}

// checkEmpty refuses a database with records: the StreamWriter would delete
// them.
func checkEmpty(db *badger.DB) error {
	txn := readAll(db)
	defer txn.Discard()
	it := txn.NewIterator(badger.IteratorOptions{AllVersions: true})
	defer it.Close()
	if it.Rewind(); it.Valid() {
		return fault.New(fault.Exists, "restore into the open database", "it is not empty").
			WithHint("restore into a new database")
	}
	return nil
}

// readAll opens a read transaction that sees everything, of a managed or an
// unmanaged database: Badger has no way to ask which it is, and panics when
// asked for the wrong kind.
func readAll(db *badger.DB) (txn *badger.Txn) {
	defer func() {
		if recover() != nil {
			txn = db.NewTransaction(false)
		}
	}()
	return db.NewTransactionAt(math.MaxUint64, false)
}
