package task

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/fault"
)

// disk is what survives a process: the records, and how many writes are left
// until it is gone.
type disk struct {
	mu        sync.Mutex
	values    map[string]string
	writes    int
	failAfter int // writes that succeed; negative: all
}

func newDisk() *disk { return &disk{values: make(map[string]string), failAfter: -1} }

var errGone = errors.New("the disk is gone")

func (d *disk) write(change func()) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failAfter >= 0 && d.writes >= d.failAfter {
		return errGone
	}
	d.writes++
	change()
	return nil
}

func (d *disk) PutLocal(_ context.Context, space, key string, value []byte) error {
	return d.write(func() { d.values[space+"/"+key] = string(value) })
}

func (d *disk) DeleteLocal(_ context.Context, space, key string) error {
	return d.write(func() { delete(d.values, space+"/"+key) })
}

func (d *disk) ScanLocal(_ context.Context, space string, visit func(string, []byte) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for key, value := range d.values {
		if key, ok := strings.CutPrefix(key, space+"/"); ok {
			if err := visit(key, []byte(value)); err != nil {
				return err
			}
		}
	}
	return nil
}

// status returns the stored status of a task.
func (d *disk) status(t *testing.T, id string) Status {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	var r record
	if err := json.Unmarshal([]byte(d.values[space+"/"+id]), &r); err != nil {
		t.Fatalf("record of %s: %v", id, err)
	}
	return r.Status
}

func open(t *testing.T, o Options) *Queue {
	t.Helper()
	q, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func submit(t *testing.T, q *Queue, run Func) string {
	t.Helper()
	id, err := q.Submit(t.Context(), Backup, map[string]string{"destination": "/backups"}, run)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func get(t *testing.T, q *Queue, id string) Task {
	t.Helper()
	task, err := q.Get(id)
	if err != nil {
		t.Fatal(err)
	}
	return task
}

func quick(context.Context, *backup.Progress) (any, error) { return "done", nil }

func untilCanceled(ctx context.Context, _ *backup.Progress) (any, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestTasksRunInOrderOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := open(t, Options{Records: newDisk()})
		var order []int
		running := 0
		for i := range 20 {
			submit(t, q, func(context.Context, *backup.Progress) (any, error) {
				if running++; running != 1 {
					t.Errorf("%d tasks run at once", running)
				}
				time.Sleep(time.Second)
				order = append(order, i)
				running--
				return nil, nil
			})
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		q.Close()
		for i, got := range order {
			if got != i {
				t.Fatalf("ran in order %v", order)
			}
		}
		if len(order) != 20 {
			t.Fatalf("%d of 20 ran", len(order))
		}
	})
}

func TestStatusIsStoredBeforeItIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		q := open(t, Options{Records: d})
		defer q.Close()
		release := make(chan struct{})
		first := submit(t, q, func(ctx context.Context, p *backup.Progress) (any, error) {
			p.Enter(backup.PhaseScan)
			p.Expect(100)
			p.Add(3, 50, 10)
			<-release
			p.Enter(backup.PhaseDone)
			return map[string]int{"backup_num": 7}, nil
		})
		second := submit(t, q, quick)
		synctest.Wait()

		task := get(t, q, first)
		if task.Status != Running || d.status(t, first) != Running {
			t.Fatalf("status %s, stored %s", task.Status, d.status(t, first))
		}
		if task.Phase != "scan" || task.Progress.Records != 3 || task.Progress.Fraction != 0.5 {
			t.Fatalf("progress %+v", task)
		}
		if task := get(t, q, second); task.Status != Queued || d.status(t, second) != Queued {
			t.Fatalf("the second is %s, stored %s", task.Status, d.status(t, second))
		}
		if r := q.Running(); len(r) != 1 || r[0].ID != first {
			t.Fatalf("running: %v", r)
		}

		time.Sleep(time.Hour)
		if got := get(t, q, first); !got.UpdatedAt.Equal(task.UpdatedAt) {
			t.Fatalf("nothing happened, and it is updated at %v, before %v", got.UpdatedAt, task.UpdatedAt)
		}
		close(release)
		synctest.Wait()
		task = get(t, q, first)
		if task.Status != Success || string(task.Result) != `{"backup_num":7}` || string(task.Params) != `{"destination":"/backups"}` {
			t.Fatalf("ended as %+v", task)
		}
		if task.FinishedAt.Sub(task.StartedAt) != time.Hour || !task.UpdatedAt.Equal(task.FinishedAt) || task.Progress.Fraction != 1 {
			t.Fatalf("times or progress: %+v", task)
		}
		if r := q.Running(); len(r) != 0 {
			t.Fatalf("something runs: %v", r)
		}
		if list := q.List(); len(list) != 2 || list[0].ID != second {
			t.Fatalf("list is not newest first: %v", list)
		}
	})
}

func TestFailures(t *testing.T) {
	tests := []struct {
		name          string
		run           Func
		message, hint string
	}{
		{"error", func(context.Context, *backup.Progress) (any, error) {
			return nil, fault.New(fault.NoSpace, "store part", "the disk is full").WithHint("make room")
		}, "cannot store part: the disk is full", "make room"},
		{"panic with a value", func(context.Context, *backup.Progress) (any, error) { panic("secret") },
			"cannot finish task: it panicked: string", "this is a bug in brock; the alpha's log has the details"},
		{"runtime panic", func(context.Context, *backup.Progress) (any, error) {
			var none []int
			return none[len(none)], nil
		}, "cannot finish task: it panicked: runtime error: index out of range [0] with length 0", "this is a bug in brock; the alpha's log has the details"},
		{"a result that is no JSON", func(context.Context, *backup.Progress) (any, error) { return func() {}, nil },
			"json: unsupported type: func()", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := open(t, Options{Records: newDisk()})
				defer q.Close()
				id := submit(t, q, test.run)
				after := submit(t, q, quick)
				synctest.Wait()
				task := get(t, q, id)
				if task.Status != Failed || task.Message != test.message || task.Hint != test.hint {
					t.Fatalf("%s: %q; %q", task.Status, task.Message, task.Hint)
				}
				if got := get(t, q, after).Status; got != Success {
					t.Fatalf("the task after it: %s", got)
				}
			})
		})
	}
}

func TestReopen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		first := open(t, Options{Records: d})
		done := submit(t, first, quick)
		synctest.Wait()
		running := submit(t, first, untilCanceled)
		queued := submit(t, first, quick)
		synctest.Wait()

		second := open(t, Options{Records: d}) // the first process is dead to it
		for id, want := range map[string]string{
			done: "", running: messageDied, queued: messageNotBegun,
		} {
			task := get(t, second, id)
			if status := map[bool]Status{true: Success, false: Failed}[want == ""]; task.Status != status || task.Message != want {
				t.Errorf("%s: %q, not %s: %q", task.Status, task.Message, status, want)
			}
			if d.status(t, id) != task.Status {
				t.Errorf("seen as %s, stored as %s", task.Status, d.status(t, id))
			}
		}
		if list := second.List(); len(list) != 3 || list[0].ID != queued || list[2].ID != done {
			t.Errorf("order is lost: %v", list)
		}
		if next := submit(t, second, quick); second.List()[0].ID != next {
			t.Error("a new task is not the newest")
		}
		synctest.Wait()
		second.Close()
		first.Close()
	})
}

func TestCloseStopsTheRunningTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		q := open(t, Options{Records: d})
		running, queued := submit(t, q, untilCanceled), submit(t, q, quick)
		synctest.Wait()
		q.Close()
		if task := get(t, q, running); task.Status != Failed || task.Message != messageStopped || d.status(t, running) != Failed {
			t.Errorf("running: %s: %q", task.Status, task.Message)
		}
		if task := get(t, q, queued); task.Status != Queued {
			t.Errorf("queued: %s", task.Status)
		}
		if _, err := q.Submit(t.Context(), Backup, nil, quick); !fault.Is(err, fault.Canceled) {
			t.Errorf("submit after close: %v", err)
		}
	})
}

func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		q := open(t, Options{Records: d})
		defer q.Close()
		running := submit(t, q, untilCanceled)
		queued := submit(t, q, func(context.Context, *backup.Progress) (any, error) {
			t.Error("a canceled task ran")
			return nil, nil
		})
		synctest.Wait()
		for _, id := range []string{queued, running} {
			if err := q.Cancel(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if task := get(t, q, id); task.Status != Canceled || d.status(t, id) != Canceled {
				t.Errorf("%s, stored %s", task.Status, d.status(t, id))
			}
			if err := q.Cancel(t.Context(), id); !fault.Is(err, fault.Usage) {
				t.Errorf("cancel what is over: %v", err)
			}
		}
		if err := q.Cancel(t.Context(), "0x2a"); !fault.Is(err, fault.NotFound) {
			t.Errorf("cancel what is not there: %v", err)
		}
		stubborn := submit(t, q, func(ctx context.Context, _ *backup.Progress) (any, error) {
			<-ctx.Done()
			return "done all the same", nil
		})
		synctest.Wait()
		if err := q.Cancel(t.Context(), stubborn); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := get(t, q, stubborn).Status; got != Success {
			t.Errorf("what came to its end is %s", got)
		}
	})
}

func TestFullQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := open(t, Options{Records: newDisk(), Capacity: 3})
		defer q.Close()
		running := submit(t, q, untilCanceled)
		synctest.Wait()
		for range 3 {
			submit(t, q, quick)
		}
		_, err := q.Submit(t.Context(), Backup, nil, quick)
		if !fault.Is(err, fault.Locked) || !strings.Contains(err.Error(), "3 tasks are waiting already") {
			t.Fatalf("a full queue says %v", err)
		}
		if err := q.Cancel(t.Context(), running); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		submit(t, q, quick)
	})
}

func TestOldestFinishedAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		q := open(t, Options{Records: d, Keep: 5})
		var ids []string
		for range 12 {
			ids = append(ids, submit(t, q, quick))
			synctest.Wait()
		}
		q.Close()
		check := func(q *Queue, keep int) {
			t.Helper()
			if len(d.values) != keep || len(q.List()) != keep {
				t.Fatalf("%d records, %d tasks, not %d", len(d.values), len(q.List()), keep)
			}
			for i, id := range ids {
				if _, err := q.Get(id); fault.Is(err, fault.NotFound) != (i < len(ids)-keep) {
					t.Errorf("task %d: %v", i, err)
				}
			}
		}
		check(q, 5)
		again := open(t, Options{Records: d, Keep: 2})
		again.Close()
		check(again, 2)
	})
}

func TestDiskGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		d.failAfter = 2 // Queued and Running are stored, the end is not
		q := open(t, Options{Records: d})
		defer q.Close()
		id := submit(t, q, quick)
		synctest.Wait()
		task := get(t, q, id)
		if task.Status != Success || !strings.Contains(task.Message, "its end could not be recorded") {
			t.Fatalf("%s: %q", task.Status, task.Message)
		}
		if _, err := q.Submit(t.Context(), Backup, nil, quick); !errors.Is(err, errGone) {
			t.Fatalf("submit without a disk: %v", err)
		}
		if list := q.List(); len(list) != 1 {
			t.Fatalf("a task that was refused is listed: %v", list)
		}
	})
}

// TestCrashPoints lets the disk fail at every write of a busy queue and opens
// what is left: every acknowledged task is there with a final status, and none
// is a success that did not come to its end.
func TestCrashPoints(t *testing.T) {
	for failAfter := range 40 {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, uint64(failAfter)))
			d := newDisk()
			d.failAfter = failAfter
			q := open(t, Options{Records: d, Keep: 1000})
			acknowledged := make(map[string]*atomic.Bool) // id -> came to its end
			for range 15 {
				finished := new(atomic.Bool)
				fail := random.IntN(3) == 0
				id, err := q.Submit(t.Context(), Backup, nil, func(context.Context, *backup.Progress) (any, error) {
					time.Sleep(time.Second)
					if fail {
						return nil, errors.New("no luck")
					}
					finished.Store(true)
					return nil, nil
				})
				if err == nil {
					acknowledged[id] = finished
				}
				if random.IntN(2) == 0 {
					time.Sleep(3 * time.Second)
				}
				if err == nil && random.IntN(4) == 0 {
					_ = q.Cancel(t.Context(), id) // any answer will do
				}
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			q.Close()

			d.failAfter = -1
			again := open(t, Options{Records: d})
			defer again.Close()
			for id, finished := range acknowledged {
				task := get(t, again, id)
				if !task.Status.Final() || task.Status != d.status(t, id) {
					t.Errorf("crash at write %d: task is %s, stored %s", failAfter, task.Status, d.status(t, id))
				}
				if task.Status == Success && !finished.Load() {
					t.Errorf("crash at write %d: a success that did not come to its end", failAfter)
				}
			}
			if len(again.List()) != len(acknowledged) {
				t.Errorf("crash at write %d: %d tasks, %d acknowledged", failAfter, len(again.List()), len(acknowledged))
			}
		})
	}
}

func TestCorruptRecordIsAnError(t *testing.T) {
	d := newDisk()
	d.values[space+"/0x1"] = "{"
	if _, err := Open(t.Context(), Options{Records: d}); !fault.Is(err, fault.Corrupt) {
		t.Fatalf("%v", err)
	}
}

func TestConcurrentUse(t *testing.T) {
	q := open(t, Options{Records: newDisk(), Capacity: 1000})
	var clients sync.WaitGroup
	seen := sync.Map{}
	for range 16 {
		clients.Go(func() {
			for i := range 20 {
				id, err := q.Submit(t.Context(), Backup, nil, quick)
				if err != nil {
					t.Error(err)
					return
				}
				if _, twice := seen.LoadOrStore(id, true); twice {
					t.Errorf("id %s was given twice", id)
				}
				if i%5 == 0 {
					_ = q.Cancel(t.Context(), id) // it may be over
				}
				if _, err := q.Get(id); err != nil {
					t.Error(err)
				}
				q.List()
				q.Running()
			}
		})
	}
	clients.Wait()
	q.Close()
	for _, task := range q.List() {
		if task.Status == Running {
			t.Errorf("%s runs after Close", task.ID)
		}
	}
}
