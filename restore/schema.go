package restore

import (
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
)

// Schema teaches a restore about the keyspace of the program that the data is
// of. A restore without one keeps every key.
type Schema interface {
	// Metadata returns the prefix of the keys that are read before all others.
	Metadata() []byte
	// Observe receives every metadata record of the restored state.
	Observe(key, value []byte) error
	// Keep reports whether a record is restored. It is called after the last
	// Observe, by many goroutines.
	Keep(key []byte) bool
	// Marks returns records to add in the restored group, in any order. Their
	// keys must be ones that Keep refuses.
	Marks(group uint32, readTs, maxUID uint64) ([]Mark, error)
}

// Mark is a record that a restore adds, at version read_ts.
type Mark struct{ Key, Value []byte }

// Chooser is a Schema that can restore a part of what a backup holds.
type Chooser interface {
	Schema
	// Choose is called once, after the last Observe and before the first Keep,
	// with the last backup of the chain. It returns the key ranges that are
	// read, ascending, or nil for all. Metadata is read in any case, and marks
	// lie in none of the ranges.
	Choose(last *manifest.Manifest, group uint32) ([]Range, error)
}

// Range is a range of keys that a restore reads, and the collections whose
// records, and no others' that count, are in it.
type Range struct {
	From, To    []byte // To is the first key after it
	Collections []uint64
}

// Stranger is implemented by a Schema that can tell, after the last Observe, that
// it has met nothing of its own program: then a backup that holds records is of
// another program, and is restored as it is, every key, as without a Schema.
type Stranger interface {
	Strange() bool
}

// isForeign reports whether a chain is said to be of a program that brock knows
// nothing of.
func isForeign(chain []manifest.Stored) bool {
	return chain[len(chain)-1].Keyspace == manifest.ForeignKeyspace
}

// isStrange reports whether a chain is of another program than the schema's, as
// far as its metadata shows.
func isStrange(schema Schema, chain []manifest.Stored) bool {
	s, ok := schema.(Stranger)
	if !ok || !s.Strange() {
		return false
	}
	for _, m := range chain {
		if m.Records > 0 {
			return true
		}
	}
	return false
}

// takeAll leaves the schema out for what is of another program. A part of that
// cannot be chosen.
func takeAll(schema Schema, p *Plan, g *GroupPlan) error {
	chooser, ok := schema.(Chooser)
	if !ok {
		return nil
	}
	only, err := chooser.Choose(p.Newest(), g.Group)
	if err == nil && only != nil {
		err = fault.New(fault.Usage, "choose collections of series "+p.BackupID, "it is of another program, which has none that brock knows")
	}
	return err
}
