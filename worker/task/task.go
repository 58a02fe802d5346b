// Package task runs the long operations of a node, each with a status, progress
// and a record that outlives the process. Which of them may run beside each
// other is in access.go.
package task

import (
	"context"
	"encoding/json"
	"time"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/fault"
)

// Kind says what a task does. The names are Dgraph's, where it has one.
type Kind string

// The kinds of tasks.
const (
	Backup  Kind = "Backup"
	Restore Kind = "Restore" // into the running store
	Verify  Kind = "Verify"
	Prune   Kind = "Prune"
	Copy    Kind = "Copy" // from one destination to another
)

// Kinds returns all kinds of tasks.
func Kinds() []Kind { return []Kind{Backup, Restore, Verify, Prune, Copy} }

// Status is where a task stands. The names are Dgraph's, where it has one.
type Status string

// The statuses of a task. The last three are final.
const (
	Queued   Status = "Queued"
	Running  Status = "Running"
	Success  Status = "Success"
	Failed   Status = "Failed"
	Canceled Status = "Canceled"
)

// Final reports whether a task of this status is over.
func (s Status) Final() bool { return s == Success || s == Failed || s == Canceled }

// Func is the work of a task. It reports to progress, returns soon after ctx
// is canceled, and its result, which must encode as JSON, is kept with the
// task. Neither the result nor the error holds secrets.
type Func func(ctx context.Context, progress *backup.Progress) (result any, err error)

// Task is a moment of a task.
type Task struct {
	ID       string // "0x" and up to 16 hex digits, never used twice
	Kind     Kind
	Status   Status
	Phase    string // of a running task, or where it ended
	Progress backup.ProgressView

	// RequestedBy says who asked for it, as WithRequester put it; it may be empty.
	RequestedBy string
	// BytesPerSecond is how fast it works, by bytes before compression: lately
	// while it runs, on the whole when it is over.
	BytesPerSecond float64
	// Remaining is about how long a running task still takes; 0 when that cannot
	// be told.
	Remaining time.Duration

	QueuedAt   time.Time
	StartedAt  time.Time // zero until it runs
	FinishedAt time.Time // zero until it is over
	// UpdatedAt is when the status last changed or, of a running task, when
	// its progress was last seen to have changed.
	UpdatedAt time.Time
	// HeartbeatAt is when this process last looked after the task while it ran,
	// whether or not anything had changed; zero until it runs.
	HeartbeatAt time.Time

	Message   string     // why it failed or was canceled
	Hint      string     // what the operator can do about it; may be empty
	ErrorKind fault.Kind // of the error that it failed with

	Params json.RawMessage // what was asked for, without secrets
	Result json.RawMessage // of a successful task
}

// What a task that did not come to its end says about it.
const (
	messageDied     = "the alpha process died (or was stopped) while this task was running"
	messageNotBegun = "the alpha process died (or was stopped) before it began; its credentials are not stored: submit it again"
	messageStopped  = "the alpha was stopped"
	messageCanceled = "it was canceled on request"
)
