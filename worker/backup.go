package worker

import (
	"context"
	"path/filepath"
	"time"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
	"github.com/brockdb/brock/worker/task"
)

// BackupRequest asks for a backup.
type BackupRequest struct {
	Destination string // URI
	ForceFull   bool   // begin a new series
	Credentials destination.Credentials
	Tuning      Tuning
	Selection   manifest.Selection
}

// BackupParams is what a backup task keeps of its request.
type BackupParams struct {
	Destination string             `json:"destination"` // without secrets
	ForceFull   bool               `json:"force_full"`
	Selection   manifest.Selection `json:"selection,omitzero"`
}

// Uses implements task.User.
func (p BackupParams) Uses() []task.Use {
	return []task.Use{{Location: p.Destination, Access: task.Write}}
}

// BackupResult is what a backup task tells about the backup it made.
type BackupResult struct {
	BackupID  string `json:"backup_id"`
	BackupNum int    `json:"backup_num"`
	Path      string `json:"path"`
	Type      string `json:"type"`
	ReadTs    uint64 `json:"read_ts"`

	// Resumed is what was saved of a backup that had been cut off, or why
	// nothing was; absent when there was none.
	Resumed *backup.Resumed `json:"resumed,omitempty"`
}

// checkTimeout bounds what is looked at before a backup is queued: a mounted
// file system whose server is gone answers never.
const checkTimeout = time.Minute

// SubmitBackup queues a backup and returns the task's id. What can be told
// before it runs is an error now: a destination that brock cannot reach or
// write, a series that the backup does not fit.
func (n *Node) SubmitBackup(ctx context.Context, q BackupRequest) (taskID string, err error) {
	defer n.refused(&err)
	b, err := n.newBackup(ctx, q, nil)
	if err != nil {
		return "", err
	}
	checking, cancel := context.WithTimeoutCause(ctx, checkTimeout,
		fault.New(fault.Other, "check destination "+b.Destination.String(), "it did not answer within %v", checkTimeout))
	defer cancel()
	if err := b.Check(destination.Briefly(checking)); err != nil {
		if cause := context.Cause(checking); cause != nil && ctx.Err() == nil {
			err = cause
		}
		return "", err
	}
	params := BackupParams{Destination: b.Destination.String(), ForceFull: q.ForceFull, Selection: q.Selection}
	return n.tasks.Submit(ctx, task.Backup, params, func(ctx context.Context, p *backup.Progress) (any, error) {
		m, err := n.BackupGroup(ctx, q, p)
		if err != nil {
			return nil, err
		}
		made := BackupResult{BackupID: m.BackupID, BackupNum: m.BackupNum, Path: m.Path, Type: m.Type, ReadTs: m.ReadTs}
		if resumed := p.Resumed(); resumed != (backup.Resumed{}) {
			made.Resumed = &resumed
		}
		return made, nil
	})
}

// BackupGroup backs up this node's group and returns the manifest. What a
// backup of this database that died has left at the destination is removed
// first.
func (n *Node) BackupGroup(ctx context.Context, q BackupRequest, progress *backup.Progress) (*manifest.Manifest, error) {
	b, err := n.newBackup(ctx, q, progress)
	if err != nil {
		return nil, err
	}
	return b.Run(ctx)
}

func (n *Node) newBackup(ctx context.Context, q BackupRequest, progress *backup.Progress) (*backup.Backup, error) {
	d, err := n.openDestination(ctx, q.Destination, q.Credentials)
	if err != nil {
		return nil, err
	}
	if within(n.options.Dir, d.String()) {
		return nil, fault.New(fault.Usage, "back up to "+d.String(), "it is inside the database's own directory %s", n.options.Dir).
			WithHint("name a directory elsewhere, best on another disk")
	}
	b := &backup.Backup{
		Source: n.store.Source(), Destination: d, ForceFull: q.ForceFull, Key: n.options.Keys.First(),
		Group: n.options.Group, Workers: n.options.BackupWorkers, Owner: n.options.Owner,
		Progress: progress, Now: n.options.Now, Selection: q.Selection,
	}
	return b, q.Tuning.Apply(b)
}

// within reports whether the path of a destination lies in dir. Other
// destinations than directories have no such path.
func within(dir, path string) bool {
	dir, err := filepath.Abs(dir)
	if err != nil || !filepath.IsAbs(path) {
		return false
	}
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}
