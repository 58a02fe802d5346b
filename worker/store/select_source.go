package store

import (
	"context"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
)

// selected is a source of some collections. It has the five methods of a Source
// and no more: a backup of it that is cut off begins afresh.
type selected struct {
	source    backup.Source
	selection manifest.Selection
}

var _ backup.Selector = source{}

// Select returns a source of the collections that a selection chooses. The
// catalog is in it as a whole: with it go the ids and uids that are used, and the
// names of what is not in the backup.
func (s source) Select(selection manifest.Selection) (backup.Source, error) {
	v, err := s.store.View()
	if err != nil {
		return nil, err
	}
	defer v.Close()
	all, err := v.Collections("")
	if err != nil {
		return nil, err
	}
	if _, err := Select(selection, all); err != nil {
		return nil, err
	}
	return &selected{source: s, selection: selection}, nil
}

func (s *selected) Identity() string { return s.source.Identity() }

func (s *selected) Extendable(ctx context.Context, head backup.Head) (string, error) {
	return s.source.Extendable(ctx, head)
}

// Remembers implements backup.Rememberer.
func (s *selected) Remembers(destination string) string {
	if r, ok := s.source.(backup.Rememberer); ok {
		return r.Remembers(destination)
	}
	return ""
}

func (s *selected) Prepare(ctx context.Context, snap *backup.Snapshot, head backup.Head) error {
	return s.source.Prepare(ctx, snap, head)
}

func (s *selected) Committed(ctx context.Context, head backup.Head) error {
	return s.source.Committed(ctx, head)
}

// Begin narrows the snapshot down to what is chosen in it. What a word chooses
// may differ from backup to backup: a collection that comes into a series later
// was made later, and so all its records are above the series' last version.
func (s *selected) Begin(ctx context.Context) (*backup.Snapshot, error) {
	snap, err := s.source.Begin(ctx)
	if err != nil {
		return nil, err
	}
	err = reader{snap.Txn}.scanLocal(spaceRestoring, func(string, []byte) error {
		// What is restored would be chosen when it is whole, by a later backup that
		// does not look for records as old as these.
		return fault.New(fault.Locked, "back up some collections", "a restore is under way").WithHint("wait until it is done")
	})
	if err == nil {
		err = narrow(snap, s.selection)
	}
	if err != nil {
		snap.Close()
		return nil, err
	}
	return snap, nil
}

func narrow(snap *backup.Snapshot, selection manifest.Selection) error {
	all := make([]Collection, len(snap.Collections))
	for i, c := range snap.Collections {
		all[i] = Collection{Namespace: c.Namespace, Name: c.Name, ID: c.ID}
	}
	chosen, err := Select(selection, all)
	if err != nil {
		return fault.Wrap(err, "back up %s", selection)
	}
	ids := make(map[uint64]struct{}, len(chosen))
	snap.Collections = make([]manifest.Collection, len(chosen))
	for i, c := range chosen {
		ids[c.ID] = struct{}{}
		snap.Collections[i] = manifest.Collection{ID: c.ID, Namespace: c.Namespace, Name: c.Name}
	}
	snap.Only = []backup.KeyRange{{From: catalogPrefix(), To: []byte{kindCatalog + 1}}}
	for _, run := range IDRanges(chosen) {
		from, to := run.Keys()
		snap.Only = append(snap.Only, backup.KeyRange{From: from, To: to})
	}
	snap.CollectionOf = func(key []byte) (uint64, bool) {
		id, _, ok := parseRecordKey(key)
		if ok {
			_, ok = ids[id]
		}
		return id, ok
	}
	return nil
}
