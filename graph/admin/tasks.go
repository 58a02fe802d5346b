package admin

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/graph/gql"
	"github.com/brockdb/brock/graph/jsontext"
	"github.com/brockdb/brock/worker"
	"github.com/brockdb/brock/worker/task"
)

func (q query) Task(_ context.Context, input TaskInput) (*TaskPayload, error) {
	t, err := q.Node.Task(input.ID)
	if err != nil {
		return nil, err
	}
	return taskPayload(t)
}

func (q query) Tasks(_ context.Context, kind *TaskKind, status *TaskStatus) ([]*TaskPayload, error) {
	list := []*TaskPayload{}
	for _, t := range q.Node.Tasks() {
		if kind != nil && t.Kind != task.Kind(*kind) || status != nil && t.Status != task.Status(*status) {
			continue
		}
		payload, err := taskPayload(t)
		if err != nil {
			return nil, err
		}
		list = append(list, payload)
	}
	return list, nil
}

func (m mutation) CancelTask(ctx context.Context, input TaskInput) (*CancelTaskPayload, error) {
	if err := m.Node.CancelTask(ctx, input.ID); err != nil {
		return nil, err
	}
	t, err := m.Node.Task(input.ID)
	if err != nil {
		return nil, err
	}
	payload, err := taskPayload(t)
	if err != nil {
		return nil, err
	}
	message := "Task " + t.ID + " is told to stop"
	if t.Status == task.Canceled {
		message = "Task " + t.ID + " is canceled"
	}
	return &CancelTaskPayload{Response: success(message), Task: payload}, nil
}

// success is how every mutation says that it did, or queued, what was asked for.
func success(message string) *Response {
	code := "Success"
	return &Response{Message: &message, Code: &code}
}

func taskPayload(t task.Task) (*TaskPayload, error) {
	var params worker.BackupParams
	var result worker.BackupResult
	if t.Kind == task.Backup {
		if err := errors.Join(decode(t.Params, &params), decode(t.Result, &result)); err != nil {
			return nil, fault.New(fault.Corrupt, "read task "+t.ID, "%w", err)
		}
	}
	return &TaskPayload{
		ID: t.ID, Kind: TaskKind(t.Kind), Status: TaskStatus(t.Status), LastUpdated: t.UpdatedAt,
		Phase: t.Phase,
		Progress: &TaskProgress{
			Records: t.Progress.Records, RawBytes: t.Progress.RawBytes,
			StoredBytes: t.Progress.StoredBytes, Fraction: t.Progress.Fraction,
			TotalBytes: unlessZero(t.Progress.TotalBytes), BytesPerSecond: t.BytesPerSecond,
			EtaSeconds: unlessZero(t.Remaining.Seconds()),
			Notice:     unlessZero(t.Progress.Notice), Notices: t.Progress.Notices,
		},
		QueuedAt: t.QueuedAt, StartedAt: unlessZero(t.StartedAt), FinishedAt: unlessZero(t.FinishedAt),
		RequestedBy: unlessZero(t.RequestedBy), LastHeartbeat: unlessZero(t.HeartbeatAt),
		Message: unlessZero(t.Message), Hint: unlessZero(t.Hint), ErrorKind: errorKind(t),
		Params: document(t.Params), Result: document(t.Result),
		Destination: unlessZero(params.Destination),
		BackupID:    unlessZero(result.BackupID), BackupNum: unlessZero(uint64(result.BackupNum)),
		Path: unlessZero(result.Path),
	}, nil
}

// errorKind names the error of a task as the code of an error is named.
func errorKind(t task.Task) *string {
	if t.Status != task.Failed && t.Status != task.Canceled {
		return nil
	}
	code := gql.Code(&fault.Error{Kind: t.ErrorKind})
	return &code
}

// document is a stored JSON document; null, which no task has a use for, is none.
func document(text json.RawMessage) jsontext.Value {
	if len(text) == 0 || string(text) == "null" {
		return nil
	}
	return jsontext.Value(text)
}

func decode(text json.RawMessage, into any) error {
	if len(text) == 0 {
		return nil
	}
	return json.Unmarshal(text, into)
}
