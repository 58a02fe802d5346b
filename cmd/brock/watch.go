package main

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"github.com/Khan/genqlient/graphql"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/graph/client/adminclient"
)

const (
	pollInterval = 250 * time.Millisecond
	// unreachablePatience is how long a watch goes on without an answer: an alpha
	// that is started again tells what became of its tasks.
	unreachablePatience = 30 * time.Second
	// cancelPatience is how long a task is given to end after it was told to.
	cancelPatience = time.Minute
)

// watch follows a task to its end and shows on out how far it is.
func watch(ctx context.Context, admin graphql.Client, id, title string, out io.Writer) (*taskJSON, error) {
	var now atomic.Pointer[moment]
	now.Store(&moment{phase: "queued"})
	stop := startMeter(out, title, func() moment { return *now.Load() })
	defer stop()
	return poll(ctx, admin, id, func(t *taskJSON) {
		m := t.moment()
		now.Store(&m)
	})
}

// poll asks for a task until it is over. That the alpha cannot be reached for a
// while is no reason to stop.
func poll(ctx context.Context, admin graphql.Client, id string, seen func(*taskJSON)) (*taskJSON, error) {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	reached := time.Now()
	for {
		answer, err := adminclient.Task(ctx, admin, id)
		switch {
		case err == nil:
			reached = time.Now()
			task := newTaskJSON(answer.Task)
			seen(&task)
			if task.final() {
				return &task, nil
			}
		case !fault.Is(err, fault.Other) || time.Since(reached) > unreachablePatience:
			return nil, fault.Wrap(err, "watch task %s", id)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fault.New(fault.Canceled, "watch task "+id, "%w", context.Cause(ctx))
		}
	}
}

// watchOrCancel is watch for the command that began the task: when it is
// interrupted the task is canceled, and its end waited for.
func watchOrCancel(ctx context.Context, admin graphql.Client, id, title string, out io.Writer) (*taskJSON, error) {
	task, err := watch(ctx, admin, id, title, out)
	if ctx.Err() == nil || err == nil {
		return task, err
	}
	say(out, "%v: canceling task %s\n", context.Cause(ctx), id)
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), cancelPatience)
	defer cancel()
	if _, cause := adminclient.CancelTask(ending, admin, id); cause != nil && !fault.Is(cause, fault.Usage) {
		return nil, errors.Join(err, fault.Wrap(cause, "cancel task %s", id))
	}
	task, cause := poll(ending, admin, id, func(*taskJSON) {})
	if cause != nil {
		return nil, errors.Join(err, cause)
	}
	return task, nil
}
