package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/term"

	"github.com/brockdb/brock/backup"
)

// moment is how far an operation is.
type moment struct {
	phase    string
	bytes    int64
	fraction float64 // 0 to 1; 0 when the end is not known

	// What an alpha says of a task, which may have begun long before the meter;
	// 0 means that the meter finds it out by itself.
	rate float64 // bytes per second
	left time.Duration
}

// ofProgress makes moments of a library's progress.
func ofProgress(p *backup.Progress) func() moment {
	return func() moment {
		v := p.View()
		return moment{phase: v.Phase, bytes: v.RawBytes, fraction: v.Fraction}
	}
}

const (
	barInterval  = 200 * time.Millisecond
	lineInterval = 10 * time.Second
)

// meter shows how far an operation is: as a bar where out is a terminal, else
// as a line every ten seconds, so that a log tells that something happens.
type meter struct {
	out   io.Writer
	width func() int // of the terminal; nil when there is none
	title string
	view  func() moment

	stopping chan struct{}
	stopped  chan struct{}
}

// startMeter shows view on out until stop is called. stop leaves a terminal's
// line empty.
func startMeter(out io.Writer, title string, view func() moment) (stop func()) {
	m := &meter{out: out, width: terminalWidth(out), title: title, view: view,
		stopping: make(chan struct{}), stopped: make(chan struct{})}
	go m.run()
	return func() {
		close(m.stopping)
		<-m.stopped
	}
}

// terminalWidth returns what tells the width of the terminal that w is, or nil.
func terminalWidth(w io.Writer) func() int {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) || os.Getenv("TERM") == "dumb" {
		return nil
	}
	return func() int {
		const usual = 80
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			return width
		}
		return usual
	}
}

func (m *meter) run() {
	defer close(m.stopped)
	interval := lineInterval
	if m.width != nil {
		interval = barInterval
	}
	began := time.Now()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-m.stopping:
			m.clear()
			return
		case <-tick.C:
			m.show(time.Since(began))
		}
	}
}

// clearLine goes to the line's start and empties it.
const clearLine = "\r\x1b[K"

func (m *meter) show(elapsed time.Duration) {
	now := m.view()
	if m.width == nil {
		say(m.out, "%s: %s\n", m.title, strings.Join(facts(now, elapsed), ", "))
		return
	}
	say(m.out, "%s%s", clearLine, bar(m.title, now, elapsed, m.width()))
}

func (m *meter) clear() {
	if m.width != nil {
		say(m.out, clearLine)
	}
}

// bar is one line of less than width columns.
func bar(title string, now moment, elapsed time.Duration, width int) string {
	text := strings.Join(facts(now, elapsed), "  ")
	const frame, least, most = 7, 10, 40 // blanks, brackets and a column to spare; of the bar
	room := min(most, width-len(title)-len(text)-frame)
	line := title + "  " + text
	if now.fraction > 0 && room >= least {
		done := int(now.fraction * float64(room))
		line = fmt.Sprintf("%s  [%s%s]  %s", title, strings.Repeat("=", done), strings.Repeat(" ", room-done), text)
	}
	if len(line) >= width {
		line = line[:max(0, width-1)]
	}
	return line
}

// facts are what is known about a moment, for people.
func facts(now moment, elapsed time.Duration) []string {
	var f []string
	if now.phase != "" {
		f = append(f, now.phase)
	}
	if now.fraction > 0 {
		f = append(f, fmt.Sprintf("%.0f%%", now.fraction*100))
	}
	f = append(f, byteCount(now.bytes))
	rate, left := now.rate, now.left
	if seconds := elapsed.Seconds(); rate == 0 && seconds > 0 {
		rate = float64(now.bytes) / seconds
	}
	if rate > 0 {
		f = append(f, byteCount(int64(rate))+"/s")
	}
	if now.fraction > 0 && now.fraction < 1 {
		if now.rate == 0 {
			left = time.Duration(float64(elapsed) * (1 - now.fraction) / now.fraction)
		}
		f = append(f, "ETA "+left.Round(time.Second).String())
	}
	return f
}

func byteCount(n int64) string { return humanize.IBytes(uint64(max(0, n))) }
