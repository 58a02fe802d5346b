package schedule

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brockdb/brock/backup/fault"
)

// disk is what outlives a scheduler.
type disk struct {
	records map[string][]byte
	broken  bool
}

var errDisk = errors.New("injected: the disk says no")

func (d *disk) PutLocal(_ context.Context, space, key string, value []byte) error {
	if d.broken {
		return errDisk
	}
	d.records[space+"/"+key] = value
	return nil
}

func (d *disk) DeleteLocal(_ context.Context, space, key string) error {
	delete(d.records, space+"/"+key)
	return nil
}

func (d *disk) ScanLocal(_ context.Context, space string, visit func(string, []byte) error) error {
	for key, value := range maps.Clone(d.records) {
		if name, ok := strings.CutPrefix(key, space+"/"); ok {
			if err := visit(name, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// runner remembers when it was asked to run what.
type runner struct {
	mu     sync.Mutex
	starts []time.Time
	names  []string
	busy   map[string]bool
	refuse error
}

// started returns when it was asked so far.
func (r *runner) started() []time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.starts)
}

// startedNames returns what it was asked to run so far.
func (r *runner) startedNames() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.names)
}

func (r *runner) Start(_ context.Context, s Schedule) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuse != nil {
		return "", r.refuse
	}
	r.starts, r.names = append(r.starts, time.Now()), append(r.names, s.Name)
	return fmt.Sprint("task", len(r.starts)), nil
}

func (r *runner) Ended(id string) (string, string, bool) {
	if r.busy[id] {
		return "Running", "", false
	}
	return "Success", "", true
}

type world struct {
	*testing.T
	disk   *disk
	runner *runner
	*Scheduler
}

func newWorld(t *testing.T) *world {
	w := &world{T: t, disk: &disk{records: map[string][]byte{}}, runner: &runner{busy: map[string]bool{}}}
	w.up()
	return w
}

func (w *world) up() {
	w.Helper()
	s, err := Open(w.Context(), Options{Records: w.disk, Runner: w.runner, Now: time.Now})
	if err != nil {
		w.Fatal(err)
	}
	w.Scheduler = s
}

// set changes the world while the scheduler, which runs with its lock, does not
// look.
func (w *world) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

func (w *world) create(name, cron, zone string, jitter time.Duration) {
	w.Helper()
	if _, err := w.Create(w.Context(), Schedule{Name: name, Cron: cron, Timezone: zone, Jitter: jitter}); err != nil {
		w.Fatal(err)
	}
}

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	location, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return location
}

// TestAYearOfDays lets a year go by. In it clocks are set forward, over 2:30 on
// April 2, and back, over 1:30 on October 29.
func TestAYearOfDays(t *testing.T) {
	for _, at := range []string{"1:30", "2:30"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			defer w.Close()
			newYork := zone(t, "America/New_York")
			hour, minute, _ := strings.Cut(at, ":")
			w.create("nightly", minute+" "+hour+" * * *", newYork.String(), 0)
			time.Sleep(time.Until(time.Date(2001, 1, 1, 0, 0, 0, 0, newYork)))
			synctest.Wait()
			day := time.Date(1999, 12, 31, 0, 0, 0, 0, newYork) // 2000 begins at 19:00 there
			for _, start := range w.runner.started() {
				day = day.AddDate(0, 0, 1)
				local := start.In(newYork)
				want := at
				if at == "2:30" && day.Month() == time.April && day.Day() == 2 {
					want = "3:30"
				}
				if local.YearDay() != day.YearDay() || local.Format("3:04") != want {
					t.Fatalf("a run at %v, want one at %s of %v", local, want, day)
				}
			}
			if len(w.runner.started()) != 366 {
				t.Errorf("%d runs in a year of 366 days", len(w.runner.started()))
			}
		})
	}
}

// TestHoursThatPass counts hours over a change of the clocks: they pass all the
// same.
func TestHoursThatPass(t *testing.T) {
	t.Parallel()
	berlin := zone(t, "Europe/Berlin")
	hourly, err := parse("0 * * * *", berlin.String())
	if err != nil {
		t.Fatal(err)
	}
	for _, day := range []time.Time{time.Date(2026, 3, 29, 0, 0, 0, 0, berlin), time.Date(2026, 10, 25, 0, 0, 0, 0, berlin)} {
		at := day.Add(-time.Second)
		for i := range 30 {
			next := hourly.next(at)
			if want := day.Add(time.Duration(i) * time.Hour); !next.Equal(want) {
				t.Fatalf("after %v comes %v, want %v", at, next, want)
			}
			at = next
		}
	}
}

func TestTimes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ cron, zone, after, want string }{
		{"30 2 * * *", "", "2026-03-28T02:30:00Z", "2026-03-29T02:30:00Z"},
		{"30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T01:30:00Z"}, // 3:30 there: 2:30 is skipped
		{"30 2 * * *", "Europe/Berlin", "2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"},
		{"30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T01:30:00Z"},
		{"30 2 * * *", "Europe/Berlin", "2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"}, // not twice
		{"0 3 * * 1", "Asia/Kolkata", "2026-11-20T00:00:00Z", "2026-11-22T21:30:00Z"},
		{"@daily", "Europe/Berlin", "2026-11-20T00:00:00Z", "2026-11-20T23:00:00Z"},
		{"@every 90m", "", "2026-11-20T00:00:00Z", "2026-11-20T01:30:00Z"},
		{"0 0 29 2 *", "", "2026-11-20T00:00:00Z", "2028-02-29T00:00:00Z"},
	} {
		times, err := parse(c.cron, c.zone)
		if err != nil {
			t.Fatal(err)
		}
		after, err := time.Parse(time.RFC3339, c.after)
		if err != nil {
			t.Fatal(err)
		}
		if got := times.next(after).UTC().Format(time.RFC3339); got != c.want {
			t.Errorf("%s in %q after %s is %s, want %s", c.cron, c.zone, c.after, got, c.want)
		}
	}
}

// TestDowntime stops the process over many times of a schedule.
func TestDowntime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.create("hourly", "0 * * * *", "", 0)
		time.Sleep(150 * time.Minute)
		synctest.Wait()
		if len(w.runner.started()) != 2 {
			t.Fatalf("%d runs in 150 minutes", len(w.runner.started()))
		}
		w.Close()
		time.Sleep(5*24*time.Hour + 20*time.Minute)
		w.up()
		synctest.Wait()
		state := w.List()[0]
		if len(w.runner.started()) != 3 || !state.Last.Missed || !state.Last.At.Equal(time.Now()) {
			t.Errorf("%d runs after downtime, the last %+v", len(w.runner.started()), state.Last)
		}
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		if len(w.runner.started()) != 6 || w.runner.started()[3].Minute() != 0 || w.List()[0].Last.Missed {
			t.Errorf("runs at %v", w.runner.started())
		}
		w.Close()
		time.Sleep(time.Minute)
		w.up() // nothing was missed
		synctest.Wait()
		if len(w.runner.started()) != 6 {
			t.Errorf("a run though none was missed: %v", w.runner.started())
		}
		w.Close()
	})
}

func TestNeverOverlapping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.Close()
		w.create("hourly", "0 * * * *", "", 0)
		w.set(func() { w.runner.busy["task1"] = true })
		time.Sleep(200 * time.Minute)
		synctest.Wait()
		state := w.List()[0]
		if len(w.runner.started()) != 1 || state.Skipped.IsZero() || state.Last.Status != "Running" {
			t.Fatalf("%d runs beside one that goes on: %+v", len(w.runner.started()), state)
		}
		w.set(func() { w.runner.busy["task1"] = false })
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(w.runner.started()) != 2 || w.List()[0].Last.Status != "Success" {
			t.Errorf("%d runs after it has ended", len(w.runner.started()))
		}
	})
}

func TestJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.Close()
		w.create("hourly", "0 * * * *", "", 10*time.Minute)
		time.Sleep(201 * time.Hour)
		synctest.Wait()
		if len(w.runner.started()) < 200 {
			t.Fatalf("%d runs in 201 hours", len(w.runner.started()))
		}
		minutes := make(map[int]bool)
		for i, start := range w.runner.started() {
			if start.Minute() >= 10 || i > 0 && start.Truncate(time.Hour).Sub(w.runner.started()[i-1].Truncate(time.Hour)) != time.Hour {
				t.Errorf("a run at %v", start)
			}
			minutes[start.Minute()] = true
		}
		if len(minutes) < 3 {
			t.Errorf("all runs begin in the minutes %v", minutes)
		}
	})
}

// TestFailures: what could not be started is told, and what could not be written
// down is not started.
func TestFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.Close()
		w.create("hourly", "0 * * * *", "", 0)
		w.set(func() { w.runner.refuse = errors.New("the queue is full") })
		time.Sleep(61 * time.Minute)
		synctest.Wait()
		if last := w.List()[0].Last; last == nil || last.Status != "Failed" || last.Message != "the queue is full" {
			t.Errorf("a start that failed is told as %+v", last)
		}
		w.set(func() { w.runner.refuse, w.disk.broken = nil, true })
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(w.runner.started()) != 0 {
			t.Error("a run was started that a restart would start again")
		}
		w.set(func() { w.disk.broken = false })
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(w.runner.started()) != 1 {
			t.Errorf("%d runs with a disk that works again", len(w.runner.started()))
		}
	})
}

func TestCreateAndDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.create("a", "@daily", "", 0)
		for _, c := range []struct {
			s    Schedule
			kind fault.Kind
			text string
		}{
			{Schedule{Name: "a", Cron: "@daily"}, fault.Exists, "there is one of that name"},
			{Schedule{Name: "", Cron: "@daily"}, fault.Usage, "name"},
			{Schedule{Name: "x y", Cron: "@daily"}, fault.Usage, "name"},
			{Schedule{Name: "b", Cron: ""}, fault.Usage, "cron"},
			{Schedule{Name: "b", Cron: "61 * * * *"}, fault.Usage, `cron "61 * * * *"`},
			{Schedule{Name: "b", Cron: "* * * *"}, fault.Usage, "cron"},
			{Schedule{Name: "b", Cron: "0 0 30 2 *"}, fault.Usage, "never comes"},
			{Schedule{Name: "b", Cron: "CRON_TZ=UTC 0 0 * * *"}, fault.Usage, "names a time zone"},
			{Schedule{Name: "b", Cron: "@daily", Timezone: "Mars/Olymp"}, fault.Usage, "is no time zone"},
			{Schedule{Name: "b", Cron: "@daily", Timezone: "Local"}, fault.Usage, "is no time zone"},
			{Schedule{Name: "b", Cron: "@daily", Jitter: 2 * time.Hour}, fault.Usage, "jitter"},
		} {
			if _, err := w.Create(t.Context(), c.s); !fault.Is(err, c.kind) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%+v: %v (%v)", c.s, err, fault.KindOf(err))
			}
		}
		if err := w.Delete(t.Context(), "b"); !fault.Is(err, fault.NotFound) {
			t.Errorf("deleting what is not there: %v", err)
		}
		w.create("b", "@hourly", "", 0)
		if err := w.Delete(t.Context(), "b"); err != nil {
			t.Fatal(err)
		}
		w.Close()
		w.up()
		defer w.Close()
		list := w.List()
		if len(list) != 1 || list[0].Name != "a" || !list[0].Next.Equal(time.Date(2000, 1, 2, 0, 0, 0, 0, time.UTC)) {
			t.Errorf("after a restart: %+v", list)
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if len(w.runner.started()) != 0 {
			t.Errorf("what was deleted runs: %v", w.runner.startedNames())
		}
	})
}
