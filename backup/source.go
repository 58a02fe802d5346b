package backup

import (
	"context"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup/manifest"
)

// Source is a Badger database that backups are taken of. Unmanaged and Managed
// make one from any *badger.DB; a program with a keyspace of its own may
// implement it.
//
// A Source's duty is to keep deletes visible: Badger's compaction drops a
// delete marker that lies at or below the discard timestamp, and an
// incremental backup that cannot see it would bring the key back on restore.
type Source interface {
	// Identity returns the random id of the database. A copy of the database,
	// and what is restored from its backups, has another.
	Identity() string

	// Begin opens the one snapshot a backup reads. Where it can, it first
	// commits a tiny marker record, so that the snapshot's version is newer
	// than every table's newest and the next incremental can skip them.
	Begin(ctx context.Context) (*Snapshot, error)

	// Extendable returns "" when an incremental on top of head would lose
	// nothing: this database made head as its last backup of that series, and
	// every delete since then is still visible. Otherwise it returns the
	// reason, and the next backup is a full.
	Extendable(ctx context.Context, head Head) (reason string, err error)

	// Prepare is called when all of a backup but its manifest is stored and
	// snap is still open. From now on deletes after head.ReadTs stay visible,
	// whether or not the process survives.
	Prepare(ctx context.Context, snap *Snapshot, head Head) error

	// Committed is called when head's manifest is stored: what was kept
	// visible for its predecessors in the series, and for other series at the
	// same destination, may go.
	Committed(ctx context.Context, head Head) error
}

// Rememberer is a Source that knows where its backups are. Where one should be
// and none is to be seen, a backup is refused: most often a file system is not
// mounted, and a full would be written into the folder that it hides.
type Rememberer interface {
	Source
	// Remembers returns the series whose newest backup the database committed
	// at destination, and keeps deletes visible for; "" when there is none.
	Remembers(destination string) (backupID string)
}

// Head names the newest backup of a series.
type Head struct {
	Destination string // canonical URI
	BackupID    string // the series
	BackupNum   int
	Digest      string // SHA-256 of the manifest, hex
	ReadTs      uint64
}

// Snapshot is one moment of a database. Everything a backup reads, it reads
// through Txn, from many goroutines, each with an iterator of its own.
type Snapshot struct {
	DB     *badger.DB // for table sizes and key ranges only
	Txn    *badger.Txn
	ReadTs uint64 // every commit at or below is in the snapshot, none above is
	MaxUID uint64 // the highest uid handed out; 0 where the program has none

	// Skip holds key prefixes that are never backed up.
	Skip [][]byte

	// Only, when not nil, holds the key ranges that are backed up, ascending and
	// apart from each other.
	Only []KeyRange

	// Collections and CollectionOf say what records belong to, for the counts
	// in manifest and part lists. Both are empty where the program has no
	// collections. CollectionOf returns false for keys of none.
	Collections  []manifest.Collection
	CollectionOf func(key []byte) (id uint64, ok bool)

	// Foreign says that the keys are of a program that brock knows nothing of: a
	// restore keeps each, whatever schema it is given.
	Foreign bool

	// Close releases the snapshot unless Prepare kept it.
	Close func()
}
