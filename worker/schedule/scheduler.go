package schedule

import (
	"cmp"
	"context"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/golang/glog"

	"github.com/brockdb/brock/backup/fault"
)

// Options of a Scheduler. All must be set.
type Options struct {
	Records Records
	Runner  Runner
	Now     func() time.Time
}

// Scheduler starts runs until it is closed. Runs of one schedule never overlap:
// a time at which the run before has not ended is left out. Of the times that
// went by while the process was down, one is made up for. Its methods may be
// called from many goroutines.
type Scheduler struct {
	Options

	stop   context.CancelFunc
	done   chan struct{}
	change chan struct{} // holds a token when there may be an earlier time

	mu  sync.Mutex // also held while a record is stored: there are few
	all map[string]*entry
}

type entry struct {
	record
	times times
	start time.Time // of the next run, with the jitter
}

// Open reads the schedules and begins to run them.
func Open(ctx context.Context, o Options) (*Scheduler, error) {
	s := &Scheduler{Options: o, done: make(chan struct{}), change: make(chan struct{}, 1), all: make(map[string]*entry)}
	err := o.Records.ScanLocal(ctx, space, func(name string, value []byte) error {
		e := new(entry)
		err := json.Unmarshal(value, &e.record)
		if err == nil {
			e.times, err = e.check()
		}
		if err != nil || e.Name != name {
			return fault.New(fault.Corrupt, "read schedule "+name, "%w", err)
		}
		s.plan(e)
		s.all[name] = e
		return nil
	})
	if err != nil {
		return nil, fault.Wrap(err, "read schedules")
	}
	running, stop := context.WithCancel(context.Background())
	s.stop = stop
	go s.work(running)
	return s, nil
}

// Close ends the scheduler; runs go on.
func (s *Scheduler) Close() {
	s.stop()
	<-s.done
}

// Create adds a schedule. A name that is taken is an error of kind Exists.
func (s *Scheduler) Create(ctx context.Context, c Schedule) (State, error) {
	times, err := c.check()
	if err != nil {
		return State{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.all[c.Name] != nil:
		return State{}, fault.New(fault.Exists, "create schedule "+c.Name, "there is one of that name").
			WithHint("delete it first, or choose another name")
	case len(s.all) >= maxNumber:
		return State{}, fault.New(fault.Usage, "create schedule "+c.Name, "there are %d, which is the limit", maxNumber)
	}
	c.CreatedAt = s.Now()
	e := &entry{record: record{State: State{Schedule: c}, Done: c.CreatedAt}, times: times}
	if err := s.store(ctx, e); err != nil {
		return State{}, err
	}
	s.plan(e)
	s.all[c.Name] = e
	s.wake()
	return e.State, nil
}

// Delete removes a schedule; a run goes on. Kind NotFound.
func (s *Scheduler) Delete(ctx context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all[name] == nil {
		return fault.New(fault.NotFound, "delete schedule", "there is none of the name %.80q", name)
	}
	if err := s.Records.DeleteLocal(ctx, space, name); err != nil {
		return fault.Wrap(err, "delete schedule %s", name)
	}
	delete(s.all, name)
	return nil
}

// List returns all schedules by name.
func (s *Scheduler) List() []State {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]State, 0, len(s.all))
	for _, e := range s.all {
		state := e.State
		if state.Last != nil {
			last := s.look(*state.Last)
			state.Last = &last
		}
		list = append(list, state)
	}
	slices.SortFunc(list, func(a, b State) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// look brings a run up to date with its task.
func (s *Scheduler) look(r Run) Run {
	if r.TaskID == "" {
		return r
	}
	if status, message, _ := s.Runner.Ended(r.TaskID); status != "" {
		r.Status, r.Message = status, message
	}
	return r
}

func (s *Scheduler) wake() {
	select {
	case s.change <- struct{}{}:
	default:
	}
}

// store writes a schedule down. Called with the lock.
func (s *Scheduler) store(ctx context.Context, e *entry) error {
	value, err := json.Marshal(e.record)
	if err != nil {
		return fault.Wrap(err, "encode schedule %s", e.Name)
	}
	return fault.Wrap(s.Records.PutLocal(ctx, space, e.Name, value), "record schedule %s", e.Name)
}

// plan sets when a schedule runs next. Called with the lock.
func (s *Scheduler) plan(e *entry) {
	e.Next = e.times.next(e.Done)
	e.start = e.Next
	if e.Jitter > 0 {
		e.start = e.Next.Add(rand.N(e.Jitter))
	}
}

// work starts what is due. It looks once a minute at least: a machine that slept
// wakes up with timers that did not notice.
func (s *Scheduler) work(ctx context.Context) {
	defer close(s.done)
	for {
		timer := time.NewTimer(min(s.runDue(ctx), maxGap))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-s.change:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// runDue starts what is due and returns how long nothing else is.
func (s *Scheduler) runDue(ctx context.Context) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	wait := maxGap
	for _, e := range s.all {
		if ctx.Err() != nil {
			return wait
		}
		if now := s.Now(); e.Done.Sub(now) > setBack {
			e.Done = now
			s.plan(e)
		}
		if !s.Now().Before(e.start) && !e.Next.IsZero() {
			s.run(ctx, e)
		}
		if !e.Next.IsZero() {
			wait = min(wait, max(e.start.Sub(s.Now()), 0))
		}
	}
	return max(wait, time.Millisecond)
}

// run starts a schedule, unless the run before is under way. That is written down
// first: a run is left out rather than started twice. Called with the lock.
func (s *Scheduler) run(ctx context.Context, e *entry) {
	now := s.Now()
	missed := now.Sub(e.start) > spareTime
	e.Done = now
	if e.Last != nil {
		last := s.look(*e.Last)
		e.Last = &last
		if _, _, over := s.Runner.Ended(last.TaskID); last.TaskID != "" && !over {
			e.Skipped = now
			glog.Warningf("schedule %s: its last run, task %s, is under way; it is not started again", e.Name, last.TaskID)
			s.finish(ctx, e)
			return
		}
	}
	if err := s.store(ctx, e); err != nil {
		glog.Errorf("schedule %s is not started: %v", e.Name, err)
		s.plan(e)
		return
	}
	run := Run{At: now, Status: "Queued", Missed: missed}
	id, err := s.Runner.Start(ctx, e.Schedule)
	if err != nil {
		run.Status, run.Message = "Failed", err.Error()
		glog.Errorf("schedule %s: %v", e.Name, err)
	}
	run.TaskID = id
	e.Last = &run
	s.finish(ctx, e)
}

// finish writes down what a time of the schedule came to.
func (s *Scheduler) finish(ctx context.Context, e *entry) {
	if err := s.store(ctx, e); err != nil {
		glog.Errorf("%v", err)
	}
	s.plan(e)
}
