package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/graph/client"
	"github.com/brockdb/brock/graph/client/adminclient"
)

// taskJSON is a task as commands print it: docs/cli-json.md promises its form.
type taskJSON struct {
	ID          string     `json:"id"`
	Kind        string     `json:"kind"`
	Status      string     `json:"status"`
	Phase       string     `json:"phase"`
	QueuedAt    time.Time  `json:"queued_at"`
	StartedAt   *time.Time `json:"started_at"`
	FinishedAt  *time.Time `json:"finished_at"`
	LastUpdated time.Time  `json:"last_updated"`
	Heartbeat   *time.Time `json:"last_heartbeat"`
	Records     int64      `json:"records"`
	RawBytes    int64      `json:"raw_bytes"`
	StoredBytes int64      `json:"stored_bytes"`
	TotalBytes  *int64     `json:"total_bytes"`
	Fraction    float64    `json:"fraction"`
	Rate        float64    `json:"bytes_per_second"`
	ETA         *float64   `json:"eta_seconds"`
	Message     string     `json:"message,omitempty"`
	Hint        string     `json:"hint,omitempty"`
	Destination string     `json:"destination,omitempty"`
	BackupID    string     `json:"backup_id,omitempty"`
	BackupNum   uint64     `json:"backup_num,omitempty"`
	Path        string     `json:"path,omitempty"`
	RequestedBy string     `json:"requested_by,omitempty"`
	ErrorKind   string     `json:"error_kind,omitempty"`

	Result json.RawMessage `json:"result,omitempty"`
}

func newTaskJSON(t *adminclient.TaskFields) taskJSON {
	return taskJSON{
		ID: t.Id, Kind: string(t.Kind), Status: string(t.Status), Phase: t.Phase,
		QueuedAt: t.QueuedAt, StartedAt: t.StartedAt, FinishedAt: t.FinishedAt, LastUpdated: t.LastUpdated, Heartbeat: t.LastHeartbeat,
		Records: t.Progress.Records, RawBytes: t.Progress.RawBytes, StoredBytes: t.Progress.StoredBytes,
		TotalBytes: t.Progress.TotalBytes, Fraction: t.Progress.Fraction, Rate: t.Progress.BytesPerSecond, ETA: t.Progress.EtaSeconds,
		Message: orZero(t.Message), Hint: orZero(t.Hint), Destination: orZero(t.Destination),
		BackupID: orZero(t.BackupId), BackupNum: orZero(t.BackupNum), Path: orZero(t.Path),
		RequestedBy: orZero(t.RequestedBy), ErrorKind: orZero(t.ErrorKind), Result: orZero(t.Result),
	}
}

func orZero[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// orNil returns nil for a zero value: what is not sent.
func orNil[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// final reports whether the task is over.
func (t *taskJSON) final() bool {
	switch adminclient.TaskStatus(t.Status) {
	case adminclient.TaskStatusSuccess, adminclient.TaskStatusFailed, adminclient.TaskStatusCanceled:
		return true
	}
	return false
}

// took is how long it has run: "" for one that has not begun.
func (t *taskJSON) took() string {
	if t.StartedAt == nil {
		return ""
	}
	end := t.LastUpdated
	if t.FinishedAt != nil {
		end = *t.FinishedAt
	}
	return max(0, end.Sub(*t.StartedAt)).Round(time.Millisecond).String()
}

// what is the one thing to know about a task beside its progress: why it
// failed, what it made, or where it works.
func (t *taskJSON) what() string {
	switch {
	case t.Message != "":
		return t.Message
	case t.Path != "":
		return t.Destination + "/" + t.Path
	}
	return t.Destination
}

// failure is nil for a task that succeeded.
func (t *taskJSON) failure() error {
	switch adminclient.TaskStatus(t.Status) {
	case adminclient.TaskStatusFailed:
		return fault.New(client.KindOf(t.ErrorKind), "finish task "+t.ID, "%s", t.Message).WithHint("%s", t.Hint)
	case adminclient.TaskStatusCanceled:
		return fault.New(fault.Canceled, "finish task "+t.ID, "%s", t.Message)
	}
	return nil
}

// moment is how far the task is.
func (t *taskJSON) moment() moment {
	phase := t.Phase
	if phase == "" {
		phase = "queued"
	}
	m := moment{phase: phase, bytes: t.RawBytes, fraction: t.Fraction, rate: t.Rate}
	if t.ETA != nil {
		m.left = time.Duration(*t.ETA * float64(time.Second))
	}
	return m
}

// lines are a task for people.
func (t *taskJSON) lines() string {
	text := fmt.Sprintf("task %s: %s %s\n", t.ID, t.Kind, t.Status)
	line := func(name, value string) {
		if value != "" {
			text += fmt.Sprintf("  %-12s %s\n", name, value)
		}
	}
	line("phase", t.Phase)
	line("queued", t.QueuedAt.UTC().Format(time.DateTime))
	line("took", t.took())
	line("read", fmt.Sprintf("%d records, %s (%.0f%%), stored %s", t.Records, byteCount(t.RawBytes), t.Fraction*100, byteCount(t.StoredBytes)))
	line("asked for by", t.RequestedBy)
	line("destination", t.Destination)
	if t.BackupID != "" {
		line("backup", fmt.Sprintf("%s number %d, %s", t.BackupID, t.BackupNum, t.Path))
	}
	line("message", t.Message)
	line("hint", t.Hint)
	return text
}
