package worker

import (
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
	"github.com/brockdb/brock/restore"
	"github.com/brockdb/brock/worker/store"
)

// NewRestoreSchema teaches a restore the keyspace of an alpha: the catalog is
// read first, only records of collections that are in it are kept, and the
// marks are added that let an alpha of the group open the directory. It is what
// restore.Restore and restore.Verify call NewSchema, once per group.
func NewRestoreSchema() restore.Schema { return &restoreSchema{Catalog: store.NewCatalog()} }

// NewSelectionSchema is NewRestoreSchema for a restore of what a selection
// chooses.
func NewSelectionSchema(selection manifest.Selection) func() restore.Schema {
	return func() restore.Schema { return &restoreSchema{Catalog: store.NewCatalog(), selection: selection} }
}

// restoreSchema is a catalog as package restore asks for it: it adds the marks
// and what is chosen.
type restoreSchema struct {
	*store.Catalog
	selection manifest.Selection
	listAll   bool               // ranges of all collections, too
	chosen    []store.Collection // after Choose
}

// Choose leaves out what the selection does not choose, and what a partial backup
// does not hold, though its catalog, which is whole, names it.
func (s *restoreSchema) Choose(last *manifest.Manifest, group uint32) ([]restore.Range, error) {
	all := s.Collections()
	held := all
	if last.Partial {
		held = heldBy(last.Groups[group], all)
	}
	var err error
	if s.chosen, err = store.Select(s.selection, held); err != nil {
		if _, there := store.Select(s.selection, all); there == nil && last.Partial {
			return nil, fault.New(fault.NotFound, "choose collections", "the backup is partial (%s), and not all of them are in it", last.Selection).
				WithHint("lsbackup lists the collections of a backup; a backup of another series may hold them")
		}
		return nil, err
	}
	if len(s.chosen) == len(all) && !last.Partial && !s.listAll {
		return nil, nil
	}
	chosen := make(map[uint64]bool, len(s.chosen))
	for _, c := range s.chosen {
		chosen[c.ID] = true
	}
	for _, c := range all {
		if !chosen[c.ID] {
			s.Leave(c.ID)
		}
	}
	ranges := []restore.Range{}
	for _, run := range store.IDRanges(s.chosen) {
		from, to := run.Keys()
		ranges = append(ranges, restore.Range{From: from, To: to, Collections: run.IDs()})
	}
	return ranges, nil
}

// heldBy returns those of the collections whose records a group's share holds.
func heldBy(g *manifest.Group, all []store.Collection) (held []store.Collection) {
	ids := make(map[uint64]bool, len(g.Collections))
	for _, c := range g.Collections {
		ids[c.ID] = true
	}
	for _, c := range all {
		if ids[c.ID] {
			held = append(held, c)
		}
	}
	return held
}

// Strange reports whether there is no catalog: an alpha that holds anything has
// one.
func (s restoreSchema) Strange() bool { return s.Empty() }

// Marks returns the marks of a restored directory. The uid lease is in the
// catalog and in the manifest; they agree unless one was altered, and then the
// higher one is safe.
func (s *restoreSchema) Marks(group uint32, readTs, maxUID uint64) ([]restore.Mark, error) {
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
