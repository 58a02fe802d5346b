package worker

import (
	"context"
	"encoding/json"
	"time"

	"github.com/golang/glog"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
	"github.com/brockdb/brock/worker/schedule"
	"github.com/brockdb/brock/worker/task"
)

// ScheduleRequest asks for a schedule of backups. There is no place for secrets
// in it: the credentials of a scheduled backup are those of the process.
type ScheduleRequest struct {
	Name     string
	Cron     string
	Timezone string        // IANA name; "" means UTC
	Jitter   time.Duration // each backup begins up to so much later
	Job      ScheduledBackup
}

// ScheduledBackup is what a schedule runs.
type ScheduledBackup struct {
	Destination string    `json:"destination"`          // URI
	FullEvery   int       `json:"full_every,omitempty"` // backups in a series; 0 means any number
	Keep        Retention `json:"keep,omitzero"`        // what is pruned after a backup
	Tuning      Tuning    `json:"tuning,omitzero"`
	// Selection chooses collections; the zero Selection means all.
	Selection manifest.Selection `json:"selection,omitzero"`
}

// Scheduled is a schedule and how it goes.
type Scheduled struct {
	schedule.State
	ScheduledBackup
}

// CreateSchedule stores a schedule, which runs from now on.
func (n *Node) CreateSchedule(ctx context.Context, q ScheduleRequest) (*Scheduled, error) {
	op := "create schedule " + q.Name
	if q.Job.FullEvery < 0 {
		return nil, fault.New(fault.Usage, op, "fullEvery is %d", q.Job.FullEvery)
	}
	q.Job.Keep.Timezone = q.Timezone
	if _, err := q.Job.Keep.policy(); err != nil {
		return nil, fault.Wrap(err, "%s", op)
	}
	b, err := n.newBackup(ctx, q.Job.request(false), nil)
	if err != nil {
		return nil, err
	}
	q.Job.Destination = b.Destination.String()
	job, err := json.Marshal(q.Job)
	if err != nil {
		return nil, fault.Wrap(err, "%s", op)
	}
	state, err := n.planned.Create(ctx, schedule.Schedule{
		Name: q.Name, Cron: q.Cron, Timezone: q.Timezone, Jitter: q.Jitter, Job: job,
	})
	if err != nil {
		return nil, err
	}
	return &Scheduled{state, q.Job}, nil
}

// DeleteSchedule removes a schedule; a backup of it that runs goes on.
func (n *Node) DeleteSchedule(ctx context.Context, name string) error {
	return n.planned.Delete(ctx, name)
}

// Schedules returns all schedules by name.
func (n *Node) Schedules() ([]Scheduled, error) {
	var list []Scheduled
	for _, state := range n.planned.List() {
		s := Scheduled{State: state}
		if err := json.Unmarshal(state.Job, &s.ScheduledBackup); err != nil {
			return nil, fault.New(fault.Corrupt, "read schedule "+state.Name, "%w", err)
		}
		list = append(list, s)
	}
	return list, nil
}

// request is what a scheduled backup asks for.
func (s *ScheduledBackup) request(forceFull bool) BackupRequest {
	return BackupRequest{Destination: s.Destination, ForceFull: forceFull, Tuning: s.Tuning, Selection: s.Selection}
}

// scheduled runs what is scheduled on a node.
type scheduled struct{ *Node }

// Start implements schedule.Runner. Whatever is wrong with the destination makes
// the task fail: it is not looked at here, where other schedules wait.
func (n scheduled) Start(ctx context.Context, s schedule.Schedule) (taskID string, err error) {
	var job ScheduledBackup
	if err := json.Unmarshal(s.Job, &job); err != nil {
		return "", fault.New(fault.Corrupt, "read schedule "+s.Name, "%w", err)
	}
	ctx = task.WithRequester(ctx, "schedule "+s.Name)
	d, err := n.openDestination(ctx, job.Destination, destination.Credentials{})
	if err != nil {
		return "", err
	}
	params := BackupParams{Destination: d.String(), Selection: job.Selection}
	return n.tasks.Submit(ctx, task.Backup, params, func(running context.Context, p *backup.Progress) (any, error) {
		full, err := n.seriesIsLong(running, d, job.FullEvery)
		if err != nil {
			return nil, err
		}
		m, err := n.BackupGroup(running, job.request(full), p)
		if err != nil {
			return nil, err
		}
		n.pruneAfter(ctx, s.Name, job)
		return BackupResult{
			BackupID: m.BackupID, BackupNum: m.BackupNum, Path: m.Path, Type: m.Type, ReadTs: m.ReadTs,
		}, nil
	})
}

// seriesIsLong reports whether the newest series has all the backups it is to
// have.
func (n scheduled) seriesIsLong(ctx context.Context, d destination.Destination, fullEvery int) (bool, error) {
	if fullEvery == 0 {
		return false, nil
	}
	listing, err := backup.List(ctx, d)
	if err != nil || len(listing.Series) == 0 {
		return false, err
	}
	newest := &listing.Series[len(listing.Series)-1]
	return newest.Newest().BackupNum >= fullEvery, nil
}

// pruneAfter queues the prune that goes with a schedule, a task of its own: what
// becomes of it is nothing against the backup.
func (n scheduled) pruneAfter(ctx context.Context, name string, job ScheduledBackup) {
	if job.Keep.IsZero() {
		return
	}
	_, err := n.SubmitPrune(context.WithoutCancel(ctx), PruneRequest{Location: job.Destination, Keep: job.Keep, Remove: true})
	if err != nil {
		glog.Errorf("schedule %s: cannot prune after its backup: %v", name, err)
	}
}

// Ended implements schedule.Runner.
func (n scheduled) Ended(taskID string) (status, message string, over bool) {
	t, err := n.tasks.Get(taskID)
	if err != nil {
		return "", "", true // it is not remembered any more
	}
	return string(t.Status), t.Message, t.Status.Final()
}
