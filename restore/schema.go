package restore

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
