// Package check finds out whether a storage keeps the promises that backups rest
// on: for operators (brock storage check), and for the tests of every backend.
package check

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
)

// Check is one promise.
type Check struct {
	Name string
	// Run returns why the promise is not kept. It leaves objects behind.
	Run func(ctx context.Context, d destination.Destination) error
}

// Options say how thorough the checks are. The zero value is good.
type Options struct {
	Objects    int   // in the folder that is listed; 0 means 200
	Writers    int   // that want the same object; 0 means 20
	LargeBytes int64 // of the large object; 0 means 20 MiB
}

func (o Options) defaults() (Options, error) {
	if o.Objects == 0 {
		o.Objects = 200
	}
	if o.Writers == 0 {
		o.Writers = 20
	}
	if o.LargeBytes == 0 {
		o.LargeBytes = 20 << 20
	}
	const most = 100_000
	if o.Objects < 1 || o.Objects > most || o.Writers < 2 || o.Writers > 1000 || o.LargeBytes < 1 || o.LargeBytes > 1<<30 {
		return o, fault.New(fault.Usage, "check a storage", "objects must be from 1 to %d, writers from 2 to 1000, the large object up to 1 GiB", most)
	}
	return o, nil
}

// Report is what Run found.
type Report struct {
	URI     string   `json:"uri"`
	Good    bool     `json:"good"`
	Results []Result `json:"checks"`

	destination.Capabilities `json:"capabilities"`

	Latencies []Latency `json:"latencies"`
	Left      string    `json:"left,omitempty"` // what could not be removed again, and why
}

// Result is what became of one check.
type Result struct {
	Name    string  `json:"name"`
	Problem string  `json:"problem,omitempty"` // "" when the promise is kept
	Hint    string  `json:"hint,omitempty"`
	Seconds float64 `json:"seconds"`
}

// Latency is how long calls of one kind took.
type Latency struct {
	Op     string  `json:"op"`
	Calls  int     `json:"calls"`
	Median float64 `json:"median_ms"`
	Most   float64 `json:"max_ms"`
	// BytesPerSecond is of reads and writes.
	BytesPerSecond float64 `json:"bytes_per_second,omitempty"`
}

// cleanupTimeout bounds the removal of what the checks leave.
const cleanupTimeout = 2 * time.Minute

// Run checks d in a scratch folder, which it removes again, and reports. The
// error says what could not be checked or, of the kind of the first problem,
// that something is not as it must be; a report comes with it.
func Run(ctx context.Context, d destination.Destination, o Options) (*Report, error) {
	o, err := o.defaults()
	if err != nil {
		return nil, err
	}
	op := "rely on " + d.String()
	folder := "brock.check-" + strings.ToLower(rand.Text()[:10])
	clock := &stopwatch{calls: map[string]*calls{}}
	scratch, err := destination.Below(destination.Observed(d, "", clock), folder)
	if err != nil {
		return nil, err
	}
	r := &Report{URI: d.String(), Good: true}
	var first error
	for i, c := range Checks(o) {
		begun := time.Now()
		err := c.Run(ctx, scratch)
		result := Result{Name: c.Name, Seconds: time.Since(begun).Seconds()}
		if err != nil {
			r.Good = false
			result.Problem, result.Hint = err.Error(), fault.HintOf(err)
			first = errors.Join(first, err)
		}
		r.Results = append(r.Results, result)
		if ctx.Err() != nil || err != nil && i == 0 {
			break // nothing else can be told where nothing can be stored
		}
	}
	cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	if err := removeAll(cleanup, scratch); err != nil {
		r.Left = destinationFolder(d, folder) + ": " + err.Error()
	}
	r.Latencies = clock.latencies()
	if ctx.Err() != nil {
		return r, &fault.Error{Kind: fault.Canceled, Op: op, Err: context.Cause(ctx)}
	}
	r.Capabilities = destination.CapabilitiesOf(ctx, d)
	if first != nil {
		return r, fault.Wrap(firstOf(first), "%s", op)
	}
	if r.Left != "" {
		return r, fault.New(fault.Other, "clean up after the checks", "%s", r.Left).WithHint("remove it by hand")
	}
	return r, nil
}

// firstOf returns the first of joined errors.
func firstOf(err error) error {
	for {
		joined, ok := err.(interface{ Unwrap() []error }) //nolint:errorlint // of errors.Join, as it is
		if !ok || len(joined.Unwrap()) == 0 {
			return err
		}
		err = joined.Unwrap()[0]
	}
}

func destinationFolder(d destination.Destination, folder string) string {
	b, err := destination.Below(d, folder)
	if err != nil {
		return folder
	}
	return b.String()
}

// removeAll removes every object of d.
func removeAll(ctx context.Context, d destination.Destination) error {
	var names []string
	if err := walk(ctx, d, "", func(info destination.Info) { names = append(names, info.Name) }); err != nil {
		return err
	}
	gate := make(chan struct{}, 16)
	var wg sync.WaitGroup
	errs := make([]error, len(names))
	for i, name := range names {
		gate <- struct{}{}
		wg.Go(func() {
			errs[i] = d.Remove(ctx, name)
			<-gate
		})
	}
	wg.Wait()
	return errors.Join(errors.Join(errs...), destination.RemoveDebris(ctx, d, ""))
}

// walk calls visit for every object below dir.
func walk(ctx context.Context, d destination.Destination, dir string, visit func(destination.Info)) error {
	var folders []string
	err := d.List(ctx, dir, func(info destination.Info) error {
		if info.Dir {
			folders = append(folders, info.Name)
		} else {
			visit(info)
		}
		return nil
	})
	for _, folder := range folders {
		if err == nil {
			err = walk(ctx, d, folder, visit)
		}
	}
	return err
}

// stopwatch is an Observer that keeps how long calls took.
type stopwatch struct {
	mu    sync.Mutex
	calls map[string]*calls
}

type calls struct {
	took  []time.Duration
	bytes int64
}

// Call implements destination.Observer.
func (s *stopwatch) Call(c destination.Call) {
	if c.Err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls[c.Op] == nil {
		s.calls[c.Op] = new(calls)
	}
	of := s.calls[c.Op]
	of.took = append(of.took, c.Duration)
	of.bytes += c.Bytes
}

// Request implements destination.Observer.
func (s *stopwatch) Request(destination.Request) {}

func (s *stopwatch) latencies() (all []Latency) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, op := range []string{"create", "write", "commit", "open", "read", "stat", "list", "remove"} {
		of := s.calls[op]
		if of == nil {
			continue
		}
		slices.Sort(of.took)
		var sum time.Duration
		for _, took := range of.took {
			sum += took
		}
		l := Latency{Op: op, Calls: len(of.took), Median: milliseconds(of.took[len(of.took)/2]), Most: milliseconds(of.took[len(of.took)-1])}
		if of.bytes > 0 && sum > 0 {
			l.BytesPerSecond = float64(of.bytes) / sum.Seconds()
		}
		all = append(all, l)
	}
	return all
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
