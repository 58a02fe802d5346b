package task

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/golang/glog"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/fault"
)

// Options of a Queue.
type Options struct {
	Records  Records
	Capacity int              // tasks that may wait; 0 means 100
	Keep     int              // finished tasks that are remembered; 0 means 1,000
	Now      func() time.Time // nil means time.Now
	Around   Around           // nil means that tasks run by themselves
}

// Around runs the work of a task, by calling run, and sees what comes of it. It
// returns what run does.
type Around func(ctx context.Context, t Task, progress *backup.Progress, run Func) (result any, err error)

// Queue runs tasks in the order they were submitted; those that exclude each
// other, which all of one kind do, one at a time.
//
// Every change of status is stored before it can be seen. Its methods may be
// called from many goroutines.
type Queue struct {
	records  Records
	capacity int
	keep     int
	now      func() time.Time
	around   Around

	stop    context.Context // done when the queue is closing
	stopNow context.CancelFunc
	wake    chan struct{} // holds a token when there may be something to run
	done    chan struct{} // closed when the runner has ended

	mu       sync.Mutex
	closed   bool
	nextSeq  uint64
	reserved int               // submissions that are being stored
	entries  []*entry          // all that are remembered, by seq
	byID     map[string]*entry // the same
	waiting  []*entry          // by seq
	running  []*entry
}

// entry is a task in memory. Queue.mu guards all of it.
type entry struct {
	record   record // as stored, but for the progress of a running task
	uses     []Use
	run      Func
	progress *backup.Progress
	cancel   context.CancelFunc // set when the runner has taken it
	canceled bool               // Cancel was called after that
	speed    speed
}

// Open reads the records of earlier processes, marks what those left under way
// as failed, and starts the runner.
func Open(ctx context.Context, o Options) (*Queue, error) {
	q := &Queue{
		records: o.Records, capacity: o.Capacity, keep: o.Keep, now: o.Now, around: o.Around,
		wake: make(chan struct{}, 1), done: make(chan struct{}),
		nextSeq: 1, byID: make(map[string]*entry),
	}
	if q.capacity == 0 {
		q.capacity = 100
	}
	if q.keep == 0 {
		q.keep = 1000
	}
	if q.now == nil {
		q.now = time.Now
	}
	stored, err := load(ctx, q.records, q.now())
	if err != nil {
		return nil, err
	}
	for _, r := range stored {
		e := &entry{record: r}
		q.entries = append(q.entries, e)
		q.byID[r.ID] = e
		q.nextSeq = max(q.nextSeq, r.Seq+1)
	}
	if err := q.forget(ctx); err != nil {
		return nil, err
	}
	q.stop, q.stopNow = context.WithCancel(context.Background())
	go q.work()
	return q, nil
}

// Submit queues a task and returns its id. The task is recorded when Submit
// returns; params, which must encode as JSON and hold no secrets, with it, and
// who asked, as WithRequester put it into ctx. Params that are a User tell which
// destinations the task uses.
// A full queue is an error of kind Locked.
func (q *Queue) Submit(ctx context.Context, kind Kind, params any, run Func) (id string, err error) {
	encoded, err := json.Marshal(params)
	if err != nil {
		return "", fault.Wrap(err, "encode parameters of %s task", kind)
	}
	r, err := q.reserve(kind)
	if err != nil {
		return "", err
	}
	r.Params, r.RequestBy = encoded, requester(ctx)
	err = put(ctx, q.records, r)

	q.mu.Lock()
	defer q.mu.Unlock()
	q.reserved--
	if err == nil && q.closed {
		err = errClosed(kind) // the next process finds it queued and fails it
	}
	if err != nil {
		delete(q.byID, r.ID)
		return "", err
	}
	e := q.byID[r.ID]
	e.record, e.run, e.uses = r, run, usesOf(params)
	q.entries = insertBySeq(q.entries, e)
	q.waiting = insertBySeq(q.waiting, e)
	q.wakeRunner()
	return r.ID, nil
}

// reserve takes a place in the queue, an id and a number for a new task.
func (q *Queue) reserve(kind Kind) (record, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return record{}, errClosed(kind)
	}
	if len(q.waiting)+q.reserved >= q.capacity {
		return record{}, fault.New(fault.Locked, "queue "+string(kind)+" task",
			"%d tasks are waiting already, which is the limit", q.capacity).
			WithHint("wait until some are done, or cancel them")
	}
	id := newID()
	for q.byID[id] != nil {
		id = newID()
	}
	now := q.now()
	r := record{Seq: q.nextSeq, ID: id, Kind: kind, Status: Queued, QueuedAt: now, UpdatedAt: now}
	q.nextSeq++
	q.reserved++
	q.byID[id] = &entry{} // holds the id; Get does not show it yet
	return r, nil
}

func errClosed(kind Kind) error {
	return fault.New(fault.Canceled, "queue "+string(kind)+" task", "the alpha is shutting down")
}

// newID returns "0x" and 63 random bits in hex.
func newID() string { return "0x" + strconv.FormatInt(1+rand.Int64N(1<<63-1), 16) }

func insertBySeq(list []*entry, e *entry) []*entry {
	at, _ := slices.BinarySearchFunc(list, e.record.Seq, func(x *entry, seq uint64) int {
		return cmp.Compare(x.record.Seq, seq)
	})
	return slices.Insert(list, at, e)
}

func (q *Queue) wakeRunner() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// Get returns a task, or an error of kind NotFound. Of the finished tasks only
// the newest are remembered.
func (q *Queue) Get(id string) (Task, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e := q.byID[id]
	if e == nil || e.record.ID == "" {
		return Task{}, unknown(id)
	}
	return q.view(e), nil
}

func unknown(id string) error {
	return fault.New(fault.NotFound, "find task", "there is no task %.40q", id).
		WithHint("a task's id is in the answer to the mutation that queued it; the oldest finished tasks are forgotten")
}

// List returns all tasks, newest first.
func (q *Queue) List() []Task {
	q.mu.Lock()
	defer q.mu.Unlock()
	list := make([]Task, 0, len(q.entries))
	for _, e := range slices.Backward(q.entries) {
		list = append(list, q.view(e))
	}
	return list
}

// Running returns the tasks that run now, in the order they were submitted.
func (q *Queue) Running() []Task {
	q.mu.Lock()
	defer q.mu.Unlock()
	var list []Task
	for _, e := range q.entries {
		if e.record.Status == Running {
			list = append(list, q.view(e))
		}
	}
	return list
}

// view must be called with the lock held.
func (q *Queue) view(e *entry) Task {
	if e.record.Status != Running {
		t := e.record.view()
		t.BytesPerSecond = perSecond(t.Progress.RawBytes, t.FinishedAt.Sub(t.StartedAt))
		return t
	}
	if now := e.progress.View(); now != e.record.Progress {
		e.record.Progress, e.record.UpdatedAt = now, q.now()
	}
	t := e.record.view()
	t.BytesPerSecond = e.speed.bytesPerSecond()
	t.Remaining = remaining(t.Progress, t.BytesPerSecond)
	return t
}

// Cancel stops a task. One that waits is canceled when Cancel returns; one that
// runs is told to stop and gets status Canceled when it has, unless it came to
// its end first. A task that is over is an error of kind Usage.
func (q *Queue) Cancel(ctx context.Context, id string) error {
	q.mu.Lock()
	e := q.byID[id]
	switch {
	case e == nil || e.record.ID == "":
		q.mu.Unlock()
		return unknown(id)
	case e.record.Status.Final():
		defer q.mu.Unlock()
		return fault.New(fault.Usage, "cancel task "+id, "it is over already (%s)", e.record.Status)
	case e.cancel != nil:
		e.canceled = true
		e.cancel()
		q.mu.Unlock()
		return nil
	}
	// Out of the waiting list it is ours: the runner will not take it.
	q.waiting = slices.DeleteFunc(q.waiting, func(x *entry) bool { return x == e })
	r := e.record
	q.mu.Unlock()

	r.finish(Canceled, q.now(), messageCanceled, "")
	err := put(ctx, q.records, r)
	q.publish(e, r) // whether or not that could be stored, it will never run
	return errors.Join(err, q.forget(ctx))
}

// publish makes a stored record visible.
func (q *Queue) publish(e *entry, r record) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e.record = r
	if r.Status.Final() {
		e.run = nil // it holds the credentials
	}
}

// Close cancels the running task, waits for its end and stores it as failed.
// Tasks that wait are found by the next process, which fails them.
func (q *Queue) Close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.stopNow()
	<-q.done
}

// forget removes the oldest finished tasks beyond the number to keep.
func (q *Queue) forget(ctx context.Context) error {
	q.mu.Lock()
	finished := 0
	for _, e := range q.entries {
		if e.record.Status.Final() {
			finished++
		}
	}
	var gone []string
	q.entries = slices.DeleteFunc(q.entries, func(e *entry) bool {
		if finished <= q.keep || !e.record.Status.Final() {
			return false
		}
		finished--
		gone = append(gone, e.record.ID)
		delete(q.byID, e.record.ID)
		return true
	})
	q.mu.Unlock()

	for _, id := range gone {
		if err := q.records.DeleteLocal(ctx, space, id); err != nil {
			return fault.Wrap(err, "forget task %s", id)
		}
	}
	return nil
}

// logForget is for callers that have nobody to tell.
func (q *Queue) logForget(ctx context.Context) {
	if err := q.forget(ctx); err != nil {
		glog.Errorf("%v; it is tried again when the alpha starts", err)
	}
}
