package worker

import (
	"bytes"
	"context"
	"strings"

	"github.com/brockdb/brock/backup/archive"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/worker/store"
)

// What an online restore commits at a time. It waits for each commit, so that
// whatever else is written has its turn between two of them, and shares the
// fsync; one batch must not take long.
const (
	loadBatchBytes   = 1 << 20
	loadBatchRecords = 2_000
)

// load stores all records and returns how many there were of each collection.
func (o *onlineRestore) load(ctx context.Context, r *store.Restoration) ([]int64, error) {
	counts := make([]int64, len(o.incoming))
	var batch []store.Loaded
	var bytesInBatch int
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		if err := r.Load(ctx, batch); err != nil {
			return err
		}
		for _, record := range batch {
			counts[record.Into]++
		}
		batch, bytesInBatch = batch[:0], 0
		return nil
	}
	err := o.reader.Read(ctx, o.planned, o.planned.Groups[0].Group, func(rec *archive.Record) error {
		id, key, ok := store.RecordOf(rec.Key)
		into, known := o.index[id]
		if !ok || !known {
			return nil // of the catalog
		}
		if rec.ExpiresAt != 0 {
			return fault.New(fault.Corrupt, "restore a record", "it expires, which records of an alpha do not")
		}
		size := len(key) + len(rec.Value)
		if len(batch) >= loadBatchRecords || bytesInBatch+size > loadBatchBytes {
			if err := flush(); err != nil {
				return err
			}
		}
		batch = append(batch, store.Loaded{Into: into, Key: string(key), Value: bytes.Clone(rec.Value)})
		bytesInBatch += size
		return nil
	})
	if err == nil {
		err = flush()
	}
	return counts, err
}

// target names the collections to be made, in the order of schema.chosen.
func (o *onlineRestore) target() error {
	const op = "restore"
	chosen := o.schema.chosen
	if len(chosen) == 0 {
		return fault.New(fault.Usage, op, "the backup has no collections")
	}
	o.incoming = make([]store.Incoming, len(chosen))
	o.index = make(map[uint64]int, len(chosen))
	renamed := make(map[store.Ref]bool)
	taken := make(map[store.Ref]store.Ref, len(chosen))
	for i, c := range chosen {
		ref := c.Ref()
		if to, ok := o.renames[ref]; ok {
			renamed[ref] = true
			ref = to
		}
		if other, twice := taken[ref]; twice {
			return fault.New(fault.Usage, op, "rename: %s and %s would both become %s", other, c.Ref(), ref)
		}
		taken[ref] = c.Ref()
		o.index[c.ID] = i
		o.incoming[i] = store.Incoming{Namespace: ref.Namespace, Collection: ref.Collection, Schema: c.Schema, Overwrite: o.request.Overwrite}
	}
	for from := range o.renames {
		if !renamed[from] {
			return fault.New(fault.NotFound, op, "rename: %s is not among the collections to restore", from)
		}
	}
	return nil
}

// parseRenames reads what is to be renamed.
func parseRenames(list []Rename) (map[store.Ref]store.Ref, error) {
	const op = "restore"
	renames := make(map[store.Ref]store.Ref, len(list))
	for _, one := range list {
		from, err := parseRef(one.From)
		if err != nil {
			return nil, fault.Wrap(err, "rename from")
		}
		to, err := parseRef(one.To)
		if err != nil {
			return nil, fault.Wrap(err, "rename to")
		}
		if _, twice := renames[from]; twice {
			return nil, fault.New(fault.Usage, op, "rename: %s stands twice", from)
		}
		renames[from] = to
	}
	return renames, nil
}

// parseRef reads "namespace/name", or a name in the default namespace.
func parseRef(text string) (store.Ref, error) {
	namespace, name, qualified := strings.Cut(text, "/")
	if !qualified {
		namespace, name = store.DefaultNamespace, text
	} else if namespace == "" {
		return store.Ref{}, fault.New(fault.Usage, "use collection", "the namespace in front of the / is empty")
	}
	return store.Ref{Namespace: namespace, Collection: name}.Normal()
}
