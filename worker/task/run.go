package task

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"

	"github.com/golang/glog"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
)

// work starts tasks as they may run until the queue is closed, and ends when
// they have.
func (q *Queue) work() {
	defer close(q.done)
	var running sync.WaitGroup
	defer running.Wait()
	for q.stop.Err() == nil {
		ctx, cancel := context.WithCancel(q.stop)
		if e := q.next(cancel); e != nil {
			running.Go(func() {
				defer cancel()
				q.runOne(ctx, e)
			})
			continue
		}
		cancel()
		select {
		case <-q.wake:
		case <-q.stop.Done():
		}
	}
}

// next takes the first waiting task that may run beside those that do. From then
// on cancel is how to stop it. Nothing overtakes a task that it would have to
// wait for, so each gets its turn.
func (q *Queue) next(cancel context.CancelFunc) *entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil
	}
	for i, e := range q.waiting {
		if e.excludedBy(q.running) || e.excludedBy(q.waiting[:i]) {
			continue
		}
		q.waiting = slices.Delete(q.waiting, i, i+1)
		q.running = append(q.running, e)
		e.cancel, e.progress = cancel, new(backup.Progress)
		return e
	}
	return nil
}

// ended lets those run that waited for e.
func (q *Queue) ended(e *entry) {
	q.mu.Lock()
	q.running = slices.DeleteFunc(q.running, func(x *entry) bool { return x == e })
	q.mu.Unlock()
	q.wakeRunner()
}

// runOne takes a task from Queued to its end. Storing goes on when the queue is
// closing: only then does the record tell what happened.
func (q *Queue) runOne(ctx context.Context, e *entry) {
	defer q.ended(e)
	store := context.WithoutCancel(ctx)
	r := e.record // only Cancel of a waiting task would change it now
	r.Status, r.StartedAt = Running, q.now()
	r.UpdatedAt, r.Heartbeat = r.StartedAt, r.StartedAt
	if err := put(store, q.records, r); err != nil {
		r.fail(q.now(), err)
		q.publish(e, r)
		return
	}
	q.publish(e, r)

	stopPulse := q.startPulse(store, e)
	noted := destination.WithNotice(ctx, func(text string) {
		e.progress.Note(text)
		glog.Warningf("task %s: %s", r.ID, text)
	})
	result, err := q.runAround(noted, r.view(), e)
	stopPulse()
	q.end(e, &r, result, err)
	if err := put(store, q.records, r); err != nil {
		// Nobody else can tell: after a restart the record says that the
		// process died while the task ran.
		r.Message = fmt.Sprintf("%s; its end could not be recorded: %v", messageOr(r.Message, "it came to its end"), err)
		glog.Errorf("task %s ended as %s: %v", r.ID, r.Status, err)
	}
	q.publish(e, r)
	q.logForget(store)
}

func (q *Queue) runAround(ctx context.Context, t Task, e *entry) (any, error) {
	run := func(ctx context.Context, p *backup.Progress) (any, error) { return protect(ctx, t.ID, e.run, p) }
	if q.around == nil {
		return run(ctx, e.progress)
	}
	return q.around(ctx, t, e.progress, run)
}

func messageOr(message, other string) string {
	if message == "" {
		return other
	}
	return message
}

// end makes r final according to what the task returned.
func (q *Queue) end(e *entry, r *record, result any, err error) {
	q.mu.Lock()
	canceled := e.canceled
	r.Heartbeat = e.record.Heartbeat
	q.mu.Unlock()

	r.Progress = e.progress.View()
	if err == nil {
		r.Result, err = json.Marshal(result)
	}
	switch {
	case err == nil:
		r.finish(Success, q.now(), "", "")
	case canceled:
		r.finish(Canceled, q.now(), messageCanceled, "")
	case q.stop.Err() != nil:
		r.finish(Failed, q.now(), messageStopped, "")
	default:
		r.fail(q.now(), err)
	}
}

// protect runs the function and turns a panic into an error.
func protect(ctx context.Context, id string, run Func, progress *backup.Progress) (result any, err error) {
	defer func() {
		if p := recover(); p != nil {
			// A panic's text may hold anything, a secret too; the runtime's own does not.
			text := fmt.Sprintf("%T", p)
			if known, ok := p.(runtime.Error); ok {
				text = known.Error()
			}
			glog.Errorf("panic in task %s: %s\n%s", id, text, debug.Stack())
			err = fault.New(fault.Other, "finish task", "it panicked: %s", text).
				WithHint("this is a bug in brock; the alpha's log has the details")
		}
	}()
	return run(ctx, progress)
}
