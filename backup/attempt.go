package backup

import (
	"context"
	"errors"
	"path"
	"slices"
	"time"

	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
)

// attempt is one run of a backup, from its snapshot to its manifest.
type attempt struct {
	*Backup
	lease    *destination.Lease
	listing  *Listing
	plan     *plan
	snap     *Snapshot
	manifest *manifest.Manifest
	old      *resumed // nil for a backup that begins
	notes    *noter
}

// open cleans up at the destination and opens the snapshot, unless a backup that
// was cut off has it open again.
func (b *Backup) open(ctx context.Context, lease *destination.Lease, l *Listing, p *plan, old *resumed) (*attempt, error) {
	a := &attempt{Backup: b, lease: lease, listing: l, plan: p, old: old}
	debris := l.Unfinished
	if old != nil {
		a.snap, a.manifest = old.snap, old.manifest(b)
		debris = slices.DeleteFunc(slices.Clone(debris), func(folder string) bool { return folder == a.manifest.Path })
	}
	if err := removeUnfinished(ctx, b.Destination, debris); err != nil {
		if old != nil {
			old.snap.Close()
		}
		return nil, cause(ctx, err)
	}
	if old == nil {
		a.manifest = b.begin(p)
		b.Progress.Enter(PhaseSnapshot)
		snap, err := b.Source.Begin(ctx)
		if err != nil {
			return nil, fault.Wrap(cause(ctx, err), "open a snapshot of the database")
		}
		a.snap = snap
	}
	m := a.manifest
	m.ReadTs, m.MaxUID = a.snap.ReadTs, a.snap.MaxUID
	if a.snap.Foreign {
		m.Keyspace = manifest.ForeignKeyspace
	}
	a.notes = b.newNoter(Held{
		Destination: b.Destination.String(), BackupID: m.BackupID, BackupNum: m.BackupNum, Folder: m.Path, Group: b.Group,
		Since: m.Since, ReadTs: m.ReadTs, Parent: m.Parent, KeyID: m.KeyID, AllVersions: m.AllVersions, Reason: m.Reason,
		Seal: newSeal(),
	}, old)
	return a, nil
}

// write stores parts, part list and manifest, and returns the manifest's bytes.
func (a *attempt) write(ctx context.Context) ([]byte, error) {
	m := a.manifest
	if m.ReadTs <= a.plan.since() {
		return nil, fault.New(fault.Usage, "back up", "the snapshot's version %d is not above %d, where the backup before ends", m.ReadTs, a.plan.since()).
			WithHint("commit something, or move the snapshot's timestamp on, before the next backup")
	}
	group, err := RunGroup(ctx, a.request())
	if err != nil {
		return nil, err
	}
	m.Groups = map[uint32]*manifest.Group{a.Group: group}
	m.Totals = group.Totals
	m.FinishedAt = a.Now().UTC().Truncate(time.Millisecond)
	data, err := m.Encode(a.Key)
	if err != nil {
		return nil, err
	}
	if err := a.Source.Prepare(ctx, a.snap, a.head(m, manifest.Digest(data))); err != nil {
		return nil, fault.Wrap(err, "keep deletes visible for the next backup")
	}
	if err := a.lease.Check(ctx); err != nil {
		e := &fault.Error{Kind: fault.KindOf(err), Op: "add backup " + m.Path + " to " + a.Destination.String(), Err: err}
		return nil, e.WithHint("run the backup again when the other writer is done")
	}
	if err := a.checkUnchanged(ctx, a.listing, a.plan, m.Path); err != nil {
		return nil, err
	}
	name := path.Join(m.Path, manifest.FileName)
	if err := storeObject(ctx, a.Destination, name, data); err != nil {
		return nil, fault.Wrap(err, "store manifest %s", name)
	}
	return data, a.checkStored(ctx, m)
}

func (a *attempt) request() GroupRequest {
	q := GroupRequest{
		Group: a.Group, BackupID: a.manifest.BackupID, Folder: a.manifest.Path, Snapshot: a.snap, Since: a.manifest.Since,
		AllVersions: a.AllVersions, Destination: a.Destination, Key: a.Key, Level: a.Level,
		ChunkBytes: a.ChunkBytes, PartBytes: a.PartBytes, Workers: a.Workers, Progress: a.Progress, Finished: a.notes.finished,
	}
	if a.old != nil {
		q.Kept, q.FirstPart = a.old.parts, a.old.nextPart
	}
	return q
}

// giveUp ends a backup that failed with err. What it has stored is removed, or
// kept where the backup can go on.
func (a *attempt) giveUp(ctx context.Context, err error) error {
	cleanup, cancel := detached(ctx)
	defer cancel()
	if !a.notes.keeps(err) {
		err = errors.Join(err, removeDebris(cleanup, a.Destination, a.manifest.Path))
		return errors.Join(err, a.notes.release(cleanup))
	}
	// The answer to its creation may have been lost.
	withdrawn := a.Destination.Remove(cleanup, path.Join(a.manifest.Path, manifest.FileName))
	if withdrawn != nil && !fault.Is(withdrawn, fault.NotFound) {
		err = errors.Join(err, withdrawn)
	}
	kept := &fault.Error{Kind: fault.KindOf(err), Op: "finish backup " + a.manifest.Path, Err: err, Hint: fault.HintOf(err)}
	if kept.Hint == "" {
		kept.Hint = "ask for the backup again when the destination answers: it goes on from the parts that are stored"
	}
	return kept
}
