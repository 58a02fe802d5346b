package worker

import (
	"context"
	"slices"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/restore"
	"github.com/brockdb/brock/worker/task"
)

// VerifyRequest asks for a verification.
type VerifyRequest struct {
	Location    string // URI
	BackupID    string // "" means every series
	BackupNum   int    // 0 means all of a series; else up to that number
	Level       restore.Level
	Credentials destination.Credentials
	Keys        KeyRequest
}

// VerifyParams is what a verification keeps of its request.
type VerifyParams struct {
	Location  string        `json:"location"` // without secrets
	BackupID  string        `json:"backup_id,omitempty"`
	BackupNum int           `json:"backup_num,omitempty"`
	Level     restore.Level `json:"level"`
}

// Uses implements task.User.
func (p VerifyParams) Uses() []task.Use {
	return []task.Use{{Location: p.Location, Access: task.Read}}
}

// SubmitVerify queues a verification and returns the task's id. The result of
// the task is the report; damage makes it fail, and its message is the first
// damage that was found.
func (n *Node) SubmitVerify(ctx context.Context, q VerifyRequest) (taskID string, err error) {
	const op = "verify backups"
	switch {
	case q.Level == "":
		q.Level = restore.Quick
	case !slices.Contains(restore.Levels, q.Level):
		return "", fault.New(fault.Usage, op, "level %.80q is none of quick, full, restore", string(q.Level))
	}
	if q.BackupNum < 0 || q.BackupNum > 0 && q.BackupID == "" {
		return "", fault.New(fault.Usage, op, "backupNum is %d and backupId is %q", q.BackupNum, q.BackupID).
			WithHint("backupNum is the number of a backup in the series that backupId names")
	}
	d, err := n.openDestination(ctx, q.Location, q.Credentials)
	if err != nil {
		return "", err
	}
	keys, err := n.KeysFor(ctx, q.Keys)
	if err != nil {
		return "", err
	}
	if q.Keys == (KeyRequest{}) {
		keys = keys.OrPlain() // the node's own keys say nothing of this location
	}
	params := VerifyParams{Location: d.String(), BackupID: q.BackupID, BackupNum: q.BackupNum, Level: q.Level}
	return n.tasks.Submit(ctx, task.Verify, params, func(ctx context.Context, p *backup.Progress) (any, error) {
		v := &restore.Verify{
			Source: d, BackupID: q.BackupID, BackupNum: q.BackupNum, Keys: keys, Level: q.Level,
			NewSchema: NewRestoreSchema, Progress: p,
		}
		return v.Run(ctx)
	})
}
