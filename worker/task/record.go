package task

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/fault"
)

// Records keeps small records of this node, in named spaces. They are durable
// when PutLocal returns.
type Records interface {
	PutLocal(ctx context.Context, space, key string, value []byte) error
	DeleteLocal(ctx context.Context, space, key string) error
	// ScanLocal calls visit for every record of a space. The value is visit's to keep.
	ScanLocal(ctx context.Context, space string, visit func(key string, value []byte) error) error
}

// space is where tasks are kept, by id.
const space = "task"

// record is a task as it is stored.
type record struct {
	Seq        uint64              `json:"seq"` // the order of submission
	ID         string              `json:"id"`
	Kind       Kind                `json:"kind"`
	Status     Status              `json:"status"`
	Progress   backup.ProgressView `json:"progress"`
	QueuedAt   time.Time           `json:"queued_at"`
	StartedAt  time.Time           `json:"started_at,omitzero"`
	FinishedAt time.Time           `json:"finished_at,omitzero"`
	UpdatedAt  time.Time           `json:"updated_at"`
	Heartbeat  time.Time           `json:"heartbeat,omitzero"`
	RequestBy  string              `json:"requested_by,omitempty"`
	Message    string              `json:"message,omitempty"`
	Hint       string              `json:"hint,omitempty"`
	ErrorKind  string              `json:"error_kind,omitempty"`
	Params     json.RawMessage     `json:"params,omitempty"`
	Result     json.RawMessage     `json:"result,omitempty"`
}

func (r *record) view() Task {
	return Task{
		ID: r.ID, Kind: r.Kind, Status: r.Status, Phase: r.Progress.Phase, Progress: r.Progress,
		RequestedBy: r.RequestBy,
		QueuedAt:    r.QueuedAt, StartedAt: r.StartedAt, FinishedAt: r.FinishedAt, UpdatedAt: r.UpdatedAt, HeartbeatAt: r.Heartbeat,
		Message: r.Message, Hint: r.Hint, ErrorKind: fault.KindNamed(r.ErrorKind), Params: r.Params, Result: r.Result,
	}
}

// finish makes r final.
func (r *record) finish(status Status, at time.Time, message, hint string) {
	r.Status, r.Message, r.Hint = status, message, hint
	r.FinishedAt, r.UpdatedAt = at, at
	if status == Canceled {
		r.ErrorKind = fault.Canceled.String()
	}
}

// fail makes r final with the error that ended it.
func (r *record) fail(at time.Time, err error) {
	r.finish(Failed, at, err.Error(), fault.HintOf(err))
	r.ErrorKind = fault.KindOf(err).String()
}

// put stores r durably.
func put(ctx context.Context, records Records, r record) error {
	value, err := json.Marshal(r)
	if err != nil {
		return fault.Wrap(err, "encode task %s", r.ID)
	}
	return fault.Wrap(records.PutLocal(ctx, space, r.ID, value), "record task %s", r.ID)
}

// load reads all records, oldest first. A task that was under way when the
// process ended is stored as failed.
func load(ctx context.Context, records Records, now time.Time) ([]record, error) {
	var all []record
	err := records.ScanLocal(ctx, space, func(key string, value []byte) error {
		var r record
		if err := json.Unmarshal(value, &r); err != nil {
			return fault.New(fault.Corrupt, "read task record "+key, "%w", err)
		}
		all = append(all, r)
		return nil
	})
	if err != nil {
		return nil, fault.Wrap(err, "read task records")
	}
	slices.SortFunc(all, func(a, b record) int { return cmp.Compare(a.Seq, b.Seq) })
	for i := range all {
		r := &all[i]
		switch r.Status {
		case Running:
			r.finish(Failed, now, messageDied, "")
		case Queued:
			r.finish(Failed, now, messageNotBegun, "")
		default:
			continue
		}
		if err := put(ctx, records, *r); err != nil {
			return nil, err
		}
	}
	return all, nil
}
