package worker

import (
	"github.com/brockdb/brock/restore"
	"github.com/brockdb/brock/worker/store"
)

// NewRestoreSchema teaches a restore the keyspace of an alpha: the catalog is
// read first, only records of collections that are in it are kept, and the
// marks are added that let an alpha of the group open the directory. It is what
// restore.Restore and restore.Verify call NewSchema, once per group.
func NewRestoreSchema() restore.Schema { return restoreSchema{store.NewCatalog()} }

// restoreSchema is a catalog as package restore asks for it: it adds the marks.
type restoreSchema struct{ *store.Catalog }

// Marks returns the marks of a restored directory. The uid lease is in the
// catalog and in the manifest; they agree unless one was altered, and then the
// higher one is safe.
func (s restoreSchema) Marks(group uint32, readTs, maxUID uint64) ([]restore.Mark, error) {
	records, err := store.RestoreMarks(group, readTs, max(maxUID, s.MaxUID()))
	if err != nil {
		return nil, err
	}
	marks := make([]restore.Mark, len(records))
	for i, r := range records {
		marks[i] = restore.Mark{Key: r.Key, Value: r.Value}
	}
	return marks, nil
}
