package schedule

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestClockThatStoodAhead sets the clock of the machine ten days ahead for some
// hours: when it is right again, schedules run as before, and not ten days later.
func TestClockThatStoodAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.Close()
		var ahead atomic.Int64
		s, err := Open(w.Context(), Options{Records: w.disk, Runner: w.runner,
			Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
		if err != nil {
			t.Fatal(err)
		}
		w.Scheduler = s
		w.create("hourly", "0 * * * *", "", 0)
		runs := func(hours int) int {
			before := len(w.runner.started())
			time.Sleep(time.Duration(hours) * time.Hour)
			synctest.Wait()
			return len(w.runner.started()) - before
		}
		if n := runs(3); n != 3 {
			t.Errorf("%d runs in 3 hours", n)
		}
		ahead.Store(int64(10 * 24 * time.Hour))
		if n := runs(3); n < 3 || n > 4 {
			t.Errorf("%d runs in 3 hours ahead", n)
		}
		ahead.Store(0)
		if n := runs(3); n < 2 || n > 3 {
			t.Errorf("%d runs in 3 hours after the clock was set right", n)
		}
		w.Close()
	})
}
