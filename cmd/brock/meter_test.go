package main

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brockdb/brock/backup"
)

func TestBar(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		name    string
		now     moment
		elapsed time.Duration
		width   int
		want    string
	}{
		{"half", moment{phase: "merge", bytes: 50 * mib, fraction: 0.5}, 10 * time.Second, 80,
			"restore  [==============              ]  merge  50%  50 MiB  5.0 MiB/s  ETA 10s"},
		{"end unknown", moment{phase: "read", bytes: 50 * mib, fraction: 0}, 10 * time.Second, 80, "restore  read  50 MiB  5.0 MiB/s"},
		{"nothing yet", moment{}, 0, 80, "restore  0 B"},
		{"done", moment{phase: "done", bytes: mib, fraction: 1}, time.Second, 60, "restore  [================]  done  100%  1.0 MiB  1.0 MiB/s"},
		{"narrow", moment{phase: "merge", bytes: 50 * mib, fraction: 0.5}, 10 * time.Second, 45, "restore  merge  50%  50 MiB  5.0 MiB/s  ETA"},
		{"of a task", moment{phase: "scan", bytes: 50 * mib, fraction: 0.5, rate: 2 * mib, left: 25 * time.Second}, time.Second, 60,
			"restore  scan  50%  50 MiB  2.0 MiB/s  ETA 25s"},
		{"no width", moment{phase: "merge", bytes: 50 * mib, fraction: 0.5}, 10 * time.Second, 0, ""},
	} {
		got := bar("restore", c.now, c.elapsed, c.width)
		if len(got) >= max(1, c.width) {
			t.Errorf("%s: %d columns in a terminal of %d", c.name, len(got), c.width)
		}
		if strings.TrimRight(got, " ") != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestMeterWithoutTerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := new(backup.Progress)
		p.Expect(1000 << 20)
		out := new(lockedBuffer)
		stop := startMeter(out, "restore", ofProgress(p))
		time.Sleep(lineInterval - 1)
		p.Enter("merge")
		p.Add(10, 100<<20, 1)
		synctest.Wait()
		if out.String() != "" {
			t.Errorf("a line came too early: %q", out.String())
		}
		time.Sleep(lineInterval)
		synctest.Wait()
		stop()
		time.Sleep(3 * lineInterval)
		if want := "restore: merge, 10%, 100 MiB, 10 MiB/s, ETA 1m30s\n"; out.String() != want {
			t.Errorf("the lines are %q, want %q", out.String(), want)
		}
	})
}

func TestMeterClearsItsLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		m := &meter{out: &out, width: func() int { return 40 }, title: "load", view: func() moment { return moment{bytes: 5} },
			stopping: make(chan struct{}), stopped: make(chan struct{})}
		go m.run()
		time.Sleep(barInterval + 1)
		close(m.stopping)
		<-m.stopped
		if want := clearLine + "load  5 B  25 B/s" + clearLine; out.String() != want {
			t.Errorf("the terminal got %q, want %q", out.String(), want)
		}
	})
}
