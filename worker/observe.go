package worker

import (
	"context"
	"encoding/json"
	"time"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/worker/metrics"
	"github.com/brockdb/brock/worker/task"
)

// around measures and traces every task, and tells the monitor of backups that
// succeeded.
func (n *Node) around(ctx context.Context, t task.Task, progress *backup.Progress, run task.Func) (result any, err error) {
	ctx, endSpan := n.options.Tracer.Task(ctx, string(t.Kind), t.ID, t.RequestedBy, progress)
	begun := n.options.Now()
	if t.Kind == task.Backup {
		n.options.Metrics.BackupBegun()
	}
	result, err = run(ctx, progress)
	took := n.options.Now().Sub(begun)
	endSpan(err)
	n.options.Metrics.TaskEnded(string(t.Kind), took, err)
	if t.Kind != task.Backup {
		return result, err
	}
	made, ok := result.(BackupResult)
	if err != nil || !ok {
		n.options.Metrics.BackupFailed(err)
		return result, err
	}
	n.options.Metrics.BackupDone(measured(made, n.options.Now(), took, progress.View()))
	if n.heartbeat != nil {
		n.beats.Go(func() { n.heartbeat.send(n.beating) })
	}
	return result, err
}

func measured(made BackupResult, at time.Time, took time.Duration, p backup.ProgressView) metrics.Backup {
	return metrics.Backup{FinishedAt: at, Duration: took, Type: made.Type, ChainLength: made.BackupNum,
		RawBytes: p.RawBytes, StoredBytes: p.StoredBytes}
}

// refused counts a backup that was not even queued: whoever asked for it in the
// night has not seen why.
func (n *Node) refused(err *error) {
	if *err != nil {
		n.options.Metrics.BackupBegun()
		n.options.Metrics.BackupFailed(*err)
	}
}

// measure tells the metrics what they do not hear of.
func (n *Node) measure() {
	if n.options.Metrics == nil {
		return
	}
	for _, t := range n.tasks.List() { // the newest first
		var made BackupResult
		if t.Kind == task.Backup && t.Status == task.Success && json.Unmarshal(t.Result, &made) == nil {
			n.options.Metrics.BackupKnown(measured(made, t.FinishedAt, t.FinishedAt.Sub(t.StartedAt), t.Progress))
			break
		}
	}
	n.options.Metrics.Watch(n.state)
}

// state is what metrics show of the present.
func (n *Node) state() metrics.State {
	s := metrics.State{CommitTs: n.store.MaxTs(), Running: map[string]int{}}
	s.Tables, s.ValueLog = n.store.Size()
	disk := n.store.Disk()
	s.DiskFailed, s.DiskTrouble, s.DiskErrors = disk.Failed != nil, disk.Trouble != nil, disk.Errors
	now := n.options.Now()
	for _, pin := range n.store.Pins() {
		if pin.Dropped == "" {
			s.Pins++
			s.OldestPinSeconds = max(s.OldestPinSeconds, now.Sub(pin.Since).Seconds())
		}
	}
	for _, kind := range task.Kinds() {
		s.Running[string(kind)] = 0
	}
	for _, t := range n.tasks.List() {
		switch t.Status {
		case task.Queued:
			s.Queued++
		case task.Running:
			s.Running[string(t.Kind)]++
			if t.Kind == task.Backup {
				s.BackupProgress = t.Progress.Fraction
			}
		}
	}
	return s
}

// observing adds an observer to the one there may be.
func observing(first, second destination.Observer) destination.Observer {
	if first == nil {
		return second
	}
	return observers{first, second}
}

// observers tells two of what is told to one.
type observers struct{ first, second destination.Observer }

// Call implements destination.Observer.
func (o observers) Call(c destination.Call) { o.first.Call(c); o.second.Call(c) }

// Request implements destination.Observer.
func (o observers) Request(r destination.Request) { o.first.Request(r); o.second.Request(r) }
