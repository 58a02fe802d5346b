package worker

import (
	"context"
	"path/filepath"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/worker/task"
)

// CopyRequest asks for a copy of a series from one destination to another.
type CopyRequest struct {
	Location    string // URI to copy from
	Destination string // URI to copy to
	BackupID    string // "" means the series begun last
	All         bool   // every series

	FromCredentials destination.Credentials
	ToCredentials   destination.Credentials
	Keys            KeyRequest // of the series, to check it with
}

// CopyParams is what a copy task keeps of its request.
type CopyParams struct {
	Location    string `json:"location"` // without secrets, as the other one
	Destination string `json:"destination"`
	BackupID    string `json:"backup_id,omitempty"`
	All         bool   `json:"all,omitempty"`
}

// Uses implements task.User.
func (p CopyParams) Uses() []task.Use {
	return []task.Use{{Location: p.Location, Access: task.Read}, {Location: p.Destination, Access: task.Write}}
}

// SubmitCopy queues a copy and returns the task's id. A location that cannot be
// listed or has no such series, a key that cannot be had, and a destination that
// cannot be listed are errors now. The task's result is a backup.Copied.
func (n *Node) SubmitCopy(ctx context.Context, q CopyRequest) (taskID string, err error) {
	job, err := n.newCopy(ctx, q)
	if err != nil {
		return "", err
	}
	checking, cancel := context.WithTimeoutCause(ctx, checkTimeout,
		fault.New(fault.Other, "check "+job.From.String()+" and "+job.To.String(), "they did not answer within %v", checkTimeout))
	defer cancel()
	if err := job.Check(checking); err != nil {
		if cause := context.Cause(checking); cause != nil && ctx.Err() == nil {
			err = cause
		}
		return "", err
	}
	params := CopyParams{Location: job.From.String(), Destination: job.To.String(), BackupID: q.BackupID, All: q.All}
	return n.tasks.Submit(ctx, task.Copy, params, func(ctx context.Context, p *backup.Progress) (any, error) {
		run := *job
		run.Progress = p
		report, err := run.Run(ctx)
		if err != nil {
			return nil, err
		}
		return report, nil
	})
}

func (n *Node) newCopy(ctx context.Context, q CopyRequest) (*backup.Copy, error) {
	from, err := n.openDestination(ctx, q.Location, q.FromCredentials)
	if err != nil {
		return nil, fault.Wrap(err, "use location")
	}
	to, err := n.openDestination(ctx, q.Destination, q.ToCredentials)
	if err != nil {
		return nil, fault.Wrap(err, "use destination")
	}
	if filepath.IsAbs(to.String()) && within(n.options.Dir, to.String()) {
		return nil, fault.New(fault.Usage, "copy to "+to.String(), "it is inside the database's own directory %s", n.options.Dir).
			WithHint("name a directory elsewhere, best on another disk")
	}
	keys, err := n.KeysFor(ctx, q.Keys)
	if err != nil {
		return nil, err
	}
	if q.Keys == (KeyRequest{}) {
		keys = keys.OrPlain() // the node's own key is not said to be the series'
	}
	return &backup.Copy{From: from, To: to, BackupID: q.BackupID, All: q.All, Keys: keys, Owner: n.options.Owner, Now: n.options.Now}, nil
}
