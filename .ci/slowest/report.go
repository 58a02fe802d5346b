package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// event is one line of "go test -json"; see "go doc test2json" and
// "go help buildjson".
type event struct {
	Action  string
	Package string
	Test    string
	Elapsed float64 // seconds
	Output  string
}

// testID names one test; Test is empty for what a package prints outside of
// its tests.
type testID struct{ Package, Test string }

// timing is how long one top-level test took.
type timing struct {
	testID
	elapsed time.Duration
}

// report turns events back into the text of "go test" without -v: the output
// of what failed, and one line per package.
type report struct {
	out      *bufio.Writer
	held     map[testID][]string // output of tests that may still fail
	timings  []timing
	failures []testID // packages and tests, in the order they failed
}

func newReport(w io.Writer) *report {
	return &report{out: bufio.NewWriter(w), held: make(map[testID][]string)}
}

// follow reads events until the end of r and prints as they come.
func (r *report) follow(events io.Reader) error {
	lines := bufio.NewReader(events)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			r.line(line)
			if err := r.out.Flush(); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// line takes one line of "go test -json". What is not an event is shown as it is.
func (r *report) line(line []byte) {
	var e event
	if err := json.Unmarshal(line, &e); err != nil {
		r.print(string(line))
		return
	}
	id := testID{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		r.print(e.Output)
	case "output":
		if !isProgress(e.Output) {
			r.held[id] = append(r.held[id], e.Output)
		}
	case "pass", "skip":
		r.passed(id)
	case "fail":
		r.failed(id)
	default:
		return
	}
	if e.Test != "" && !strings.Contains(e.Test, "/") && e.Action != "output" {
		r.timings = append(r.timings, timing{id, time.Duration(e.Elapsed * float64(time.Second))})
	}
}

// passed drops the output of a test and keeps a package's last line, "ok …".
func (r *report) passed(id testID) {
	if lines := r.held[id]; id.Test == "" && len(lines) > 0 {
		r.print(lines[len(lines)-1])
	}
	delete(r.held, id)
}

// failed prints the output of a failed test, and with a failed package that of
// the tests which a crash or a timeout left without a result.
func (r *report) failed(id testID) {
	r.failures = append(r.failures, id)
	if id.Test == "" {
		for _, left := range r.leftIn(id.Package) {
			r.flush(left)
		}
	}
	r.flush(id)
}

// leftIn returns the tests of a package that have output but no result.
func (r *report) leftIn(pkg string) []testID {
	var left []testID
	for id := range r.held {
		if id.Package == pkg && id.Test != "" {
			left = append(left, id)
		}
	}
	slices.SortFunc(left, func(a, b testID) int { return cmp.Compare(a.Test, b.Test) })
	return left
}

func (r *report) flush(id testID) {
	for _, line := range r.held[id] {
		r.print(line)
	}
	delete(r.held, id)
}

// close prints the count slowest tests, and once more what failed, so that
// the end of a long log says it.
func (r *report) close(count int) error {
	slices.SortStableFunc(r.timings, func(a, b timing) int { return cmp.Compare(b.elapsed, a.elapsed) })
	slowest := r.timings[:min(count, len(r.timings))]
	r.print(fmt.Sprintf("\n%d slowest of %d tests:\n", len(slowest), len(r.timings)))
	for _, t := range slowest {
		r.print(fmt.Sprintf("%8.2fs  %s %s\n", t.elapsed.Seconds(), t.Package, t.Test))
	}
	if len(r.failures) > 0 {
		r.print("\nfailed:\n")
	}
	for _, id := range r.failures {
		r.print(strings.TrimRight("FAIL\t"+id.Package+"\t"+id.Test, "\t") + "\n")
	}
	return r.out.Flush()
}

// print writes to the buffered output, whose error stays until Flush tells it.
func (r *report) print(text string) { _, _ = r.out.WriteString(text) }

// isProgress reports whether "go test" prints a line only because -json
// implies -v.
func isProgress(line string) bool {
	for _, prefix := range []string{"=== RUN ", "=== PAUSE ", "=== CONT ", "=== NAME "} {
		if strings.HasPrefix(line, prefix) {
			return true
		}
	}
	return line == "PASS\n" || line == "FAIL\n"
}
