package worker

import (
	"context"
	"errors"
	"time"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
	"github.com/brockdb/brock/restore"
	"github.com/brockdb/brock/worker/store"
	"github.com/brockdb/brock/worker/task"
)

// RestoreRequest asks for collections of a backup to be loaded into the running
// store.
type RestoreRequest struct {
	Location    string // URI
	Credentials destination.Credentials
	Keys        KeyRequest

	BackupID  string // "" means the series begun last
	BackupNum int    // 0 means the newest of the series
	Until     string // RFC 3339; instead of BackupNum, see restore.Point

	Selection manifest.Selection
	Rename    []Rename
	Overwrite bool // replace collections that exist
}

// Rename gives a restored collection another name. Both are "namespace/name", or
// a name in the default namespace.
type Rename struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// RestoreParams is what a restore task keeps of its request. The backup is the one
// that was found when it was asked for.
type RestoreParams struct {
	Location  string             `json:"location"` // without secrets
	BackupID  string             `json:"backup_id"`
	BackupNum int                `json:"backup_num"`
	Until     string             `json:"until,omitempty"`
	Selection manifest.Selection `json:"selection,omitzero"`
	Rename    []Rename           `json:"rename,omitempty"`
	Overwrite bool               `json:"overwrite,omitempty"`
}

// Uses implements task.User.
func (p RestoreParams) Uses() []task.Use {
	return []task.Use{{Location: p.Location, Access: task.Read}}
}

// RestoreResult is what a restore task tells about what it restored.
type RestoreResult struct {
	BackupID    string               `json:"backup_id"`
	BackupNum   int                  `json:"backup_num"`
	Version     uint64               `json:"version"` // of the backup: its read_ts
	Partial     bool                 `json:"partial,omitempty"`
	CommitTs    uint64               `json:"commit_ts"` // of the commit that made the collections ready
	Records     int64                `json:"records"`
	Collections []RestoredCollection `json:"collections"`
}

// RestoredCollection is a collection that was restored.
type RestoredCollection struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	From      string `json:"from,omitempty"` // its name in the backup, when that was another
	Records   int64  `json:"records"`
}

// The phases of an online restore, in order.
const (
	PhaseRestorePlan    = "plan"    // reading manifests, part lists and the catalog
	PhaseRestoreCatalog = "catalog" // making the collections
	PhaseRestoreLoad    = "load"    // storing their records
	PhaseRestoreSwitch  = "switch"  // making them ready, all at once
)

// SubmitRestore queues an online restore and returns the task's id. What can be
// told before it runs is an error now: a backup that is not there or not whole, a
// key that does not fit, a selection of nothing, and a collection that exists.
func (n *Node) SubmitRestore(ctx context.Context, q RestoreRequest) (taskID string, err error) {
	o, err := n.newOnlineRestore(ctx, q)
	if err != nil {
		return "", err
	}
	checking, cancel := context.WithTimeoutCause(ctx, checkTimeout,
		fault.New(fault.Other, "read "+o.reader.Source.String(), "it did not answer within %v", checkTimeout))
	defer cancel()
	if err := o.plan(checking); err != nil {
		if cause := context.Cause(checking); cause != nil && ctx.Err() == nil {
			err = cause
		}
		return "", err
	}
	params := RestoreParams{
		Location: o.reader.Source.String(), BackupID: o.reader.BackupID, BackupNum: o.reader.BackupNum, Until: q.Until,
		Selection: q.Selection, Rename: q.Rename, Overwrite: q.Overwrite,
	}
	o.planned, o.schema = nil, nil // it may wait long, and is read again
	return n.tasks.Submit(ctx, task.Restore, params, o.run)
}

// onlineRestore is one online restore.
type onlineRestore struct {
	node     *Node
	request  RestoreRequest
	renames  map[store.Ref]store.Ref
	reader   *restore.Reader
	planned  *restore.Plan
	schema   *restoreSchema
	incoming []store.Incoming
	index    map[uint64]int // by the collection's id in the backup
}

func (n *Node) newOnlineRestore(ctx context.Context, q RestoreRequest) (*onlineRestore, error) {
	if err := store.CheckSelection(q.Selection); err != nil {
		return nil, err
	}
	until, err := restore.ParseUntil(q.Until)
	if err != nil {
		return nil, err
	}
	if q.BackupNum < 0 {
		return nil, fault.New(fault.Usage, "restore", "backupNum is %d", q.BackupNum)
	}
	renames, err := parseRenames(q.Rename)
	if err != nil {
		return nil, err
	}
	keys, err := n.KeysFor(ctx, q.Keys)
	if err != nil {
		return nil, err
	}
	source, err := n.openDestination(ctx, q.Location, q.Credentials)
	if err != nil {
		return nil, err
	}
	return &onlineRestore{node: n, request: q, renames: renames, reader: &restore.Reader{
		Source: source, Keys: keys,
		Point: restore.Point{BackupID: q.BackupID, BackupNum: q.BackupNum, Until: until},
	}}, nil
}

// plan finds the backup, from then on that one, and what it would restore, and
// holds that against what there is.
func (o *onlineRestore) plan(ctx context.Context) error {
	newSchema := func() restore.Schema {
		o.schema = &restoreSchema{Catalog: store.NewCatalog(), selection: o.request.Selection, listAll: true}
		return o.schema
	}
	p, err := o.reader.Plan(ctx, newSchema)
	if err != nil {
		return err
	}
	newest := p.Newest()
	if len(p.Groups) != 1 {
		return fault.New(fault.Usage, "restore "+newest.Path, "the series has %d groups", len(p.Groups))
	}
	o.reader.Point = restore.Point{BackupID: newest.BackupID, BackupNum: newest.BackupNum}
	o.planned = p
	if err := o.target(); err != nil {
		return err
	}
	return o.conflicts()
}

// conflicts refuses to restore over what exists.
func (o *onlineRestore) conflicts() error {
	if o.request.Overwrite {
		return nil
	}
	v, err := o.node.View()
	if err != nil {
		return err
	}
	defer v.Close()
	for _, in := range o.incoming {
		ref := store.Ref{Namespace: in.Namespace, Collection: in.Collection}
		switch _, err := v.Lookup(in.Namespace, in.Collection); {
		case err == nil:
			return fault.New(fault.Exists, "restore collection "+ref.String(), "it exists; nothing was restored").
				WithHint("restore it under another name (rename), or replace it (overwrite: true)")
		case !fault.Is(err, fault.NotFound):
			return err
		}
	}
	return nil
}

// run is the task.
func (o *onlineRestore) run(ctx context.Context, progress *backup.Progress) (any, error) {
	progress.Enter(PhaseRestorePlan)
	if err := o.plan(ctx); err != nil {
		return nil, err
	}
	o.reader.Progress = progress
	newest := o.planned.Newest()
	mark, err := backup.Reading(ctx, o.reader.Source, "restore", newest)
	if err != nil {
		return nil, err
	}
	defer func() { _ = mark.Release(context.WithoutCancel(ctx)) }() // it expires
	progress.Enter(PhaseRestoreCatalog)
	r, err := o.node.store.BeginRestoration(ctx, o.incoming, max(newest.MaxUID, o.schema.MaxUID()))
	if err != nil {
		return nil, err
	}
	progress.Enter(PhaseRestoreLoad)
	counts, err := o.load(ctx, r)
	var commitTs uint64
	if err == nil {
		progress.Enter(PhaseRestoreSwitch)
		commitTs, err = r.Finish(ctx)
	}
	if err != nil {
		// Also when the process is asked to end: what cannot be dropped now is
		// dropped when the store is opened again.
		const patience = 30 * time.Second
		cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		return nil, errors.Join(err, r.Abort(cleanup))
	}
	progress.Enter(backup.PhaseDone)
	return o.result(newest, commitTs, counts), nil
}

func (o *onlineRestore) result(newest *manifest.Manifest, commitTs uint64, counts []int64) RestoreResult {
	result := RestoreResult{
		BackupID: newest.BackupID, BackupNum: newest.BackupNum, Version: newest.ReadTs, Partial: newest.Partial,
		CommitTs: commitTs, Collections: make([]RestoredCollection, len(o.incoming)),
	}
	for i, in := range o.incoming {
		result.Records += counts[i]
		restored := RestoredCollection{Namespace: in.Namespace, Name: in.Collection, Records: counts[i]}
		was := o.schema.chosen[i].Ref()
		if was != (store.Ref{Namespace: in.Namespace, Collection: in.Collection}) {
			restored.From = was.String()
		}
		result.Collections[i] = restored
	}
	return result
}
