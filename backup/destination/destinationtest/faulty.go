package destinationtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/brockdb/brock/backup/destination"
)

// Op names a kind of call on a destination, its writers and its readers.
type Op string

// The calls a Faulty counts. Abort is counted and traced, but only a crash
// makes it fail: a clean-up that fails is not a case callers can act on.
const (
	OpCreate Op = "create"
	OpWrite  Op = "write"
	OpCommit Op = "commit"
	OpAbort  Op = "abort"
	OpOpen   Op = "open"
	OpRead   Op = "read"
	OpStat   Op = "stat"
	OpList   Op = "list"
	OpRemove Op = "remove" // of an object, or of debris
	AnyOp    Op = ""       // every one of these except OpAbort
)

// ErrCrashed is what every call returns after a crash.
var ErrCrashed = errors.New("the process has crashed")

// Rule makes calls fail.
type Rule struct {
	Op      Op     // which calls are counted
	Name    string // only calls on names that contain this text; "" means all
	Nth     int    // the first call that fails, counted from 1 when the rule is added
	Forever bool   // every later one fails too: the storage is gone
	Late    bool   // the call is carried out first: its answer is lost
	Crash   bool   // the call and everything after it fails, and nothing is cleaned up
	Err     error  // what the call returns; ErrCrashed when Crash is set

	seen int
}

// Call is one line of a trace.
type Call struct {
	Op    Op
	Name  string
	Bytes int // written or read
	Err   error
}

// String returns the call in one line, as golden traces have it.
func (c Call) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", c.Op, c.Name)
	if c.Op == OpWrite || c.Op == OpRead {
		fmt.Fprintf(&b, " %d", c.Bytes)
	}
	if c.Err != nil && !errors.Is(c.Err, io.EOF) {
		b.WriteString(" failed")
	}
	return b.String()
}

// Faulty is a destination that fails on demand. It hands every call to the one
// it wraps unless a rule says otherwise, and remembers all of them. Its methods
// may be called from many goroutines, the ones that change it too.
type Faulty struct {
	inner destination.Destination

	mu      sync.Mutex
	rules   []*Rule
	damage  map[string]damage
	crashed bool
	calls   []Call
}

var (
	_ destination.Destination = (*Faulty)(nil)
	_ destination.Debris      = (*Faulty)(nil)
)

// NewFaulty returns a Faulty around d that does not fail yet.
func NewFaulty(d destination.Destination) *Faulty {
	return &Faulty{inner: d, damage: map[string]damage{}}
}

// Add puts a rule in force, beside those there are. The first that applies to a
// call decides.
func (f *Faulty) Add(r Rule) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = append(f.rules, &r)
}

// FailNth makes the nth call of op from now return err.
func (f *Faulty) FailNth(op Op, n int, err error) { f.Add(Rule{Op: op, Nth: n, Err: err}) }

// FailAfter lets n more calls pass and makes every later one return err.
func (f *Faulty) FailAfter(n int, err error) {
	f.Add(Rule{Op: AnyOp, Nth: n + 1, Forever: true, Err: err})
}

// CrashAt lets n more calls pass; the next one and every later one fail with
// ErrCrashed, and none of them, Abort included, reaches the wrapped destination.
func (f *Faulty) CrashAt(n int) { f.Add(Rule{Op: AnyOp, Nth: n + 1, Crash: true}) }

// Crash is CrashAt(0), at once.
func (f *Faulty) Crash() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.crashed = true
}

// Heal ends every rule, all damage and a crash. The counts and the trace stay.
func (f *Faulty) Heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules, f.crashed = nil, false
	clear(f.damage)
}

// Count returns how many calls of op there were; AnyOp counts what rules count.
func (f *Faulty) Count(op Op) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, c := range f.calls {
		if matches(op, c.Op) {
			n++
		}
	}
	return n
}

// Trace returns every call so far in order of completion.
func (f *Faulty) Trace() []Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Call(nil), f.calls...)
}

func matches(want, op Op) bool { return want == op || want == AnyOp && op != OpAbort }

// call carries out one call, or not, as the rules say.
func (f *Faulty) call(op Op, name string, do func() (int, error)) (int, error) {
	err, late := f.verdict(op, name)
	n := 0
	switch {
	case err == nil:
		n, err = do()
	case late:
		// The answer is lost, so what it was does not matter.
		_, _ = do()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, Call{Op: op, Name: name, Bytes: n, Err: err})
	return n, err
}

// verdict returns the error a call shall have, and whether it is carried out
// first all the same.
func (f *Faulty) verdict(op Op, name string) (err error, late bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.crashed {
		return ErrCrashed, false
	}
	for _, r := range f.rules {
		if !matches(r.Op, op) || !strings.Contains(name, r.Name) {
			continue
		}
		r.seen++
		if err != nil || r.seen < r.Nth || r.seen > r.Nth && !r.Forever {
			continue
		}
		err, late = r.Err, r.Late
		if r.Crash {
			f.crashed, err = true, ErrCrashed
		}
	}
	return err, late
}

// Create implements destination.Destination.
func (f *Faulty) Create(ctx context.Context, name string, mode destination.Mode) (destination.Writer, error) {
	var inner destination.Writer
	_, err := f.call(OpCreate, name, func() (_ int, err error) {
		inner, err = f.inner.Create(ctx, name, mode)
		return 0, err
	})
	if err != nil {
		if inner != nil {
			err = errors.Join(err, inner.Abort()) // created late: nobody else can end it
		}
		return nil, err
	}
	return &faultyWriter{f: f, name: name, inner: inner}, nil
}

// Open implements destination.Destination.
func (f *Faulty) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	var inner io.ReadCloser
	_, err := f.call(OpOpen, name, func() (_ int, err error) {
		inner, err = f.openDamaged(ctx, name, offset, length)
		return 0, err
	})
	if err != nil {
		if inner != nil {
			err = errors.Join(err, inner.Close())
		}
		return nil, err
	}
	return &faultyReader{f: f, name: name, inner: inner}, nil
}

// Stat implements destination.Destination.
func (f *Faulty) Stat(ctx context.Context, name string) (info destination.Info, err error) {
	_, err = f.call(OpStat, name, func() (_ int, err error) {
		info, err = f.statDamaged(ctx, name)
		return 0, err
	})
	return info, err
}

// List implements destination.Destination. Damage does not show in it.
func (f *Faulty) List(ctx context.Context, dir string, visit func(destination.Info) error) error {
	_, err := f.call(OpList, dir, func() (int, error) { return 0, f.inner.List(ctx, dir, visit) })
	return err
}

// Remove implements destination.Destination.
func (f *Faulty) Remove(ctx context.Context, name string) error {
	_, err := f.call(OpRemove, name, func() (int, error) { return 0, f.inner.Remove(ctx, name) })
	return err
}

// RemoveDebris implements destination.Debris.
func (f *Faulty) RemoveDebris(ctx context.Context, dir string) error {
	_, err := f.call(OpRemove, dir, func() (int, error) {
		return 0, destination.RemoveDebris(ctx, f.inner, dir)
	})
	return err
}

// String returns the URI of the wrapped destination.
func (f *Faulty) String() string { return f.inner.String() }

type faultyWriter struct {
	f     *Faulty
	name  string
	inner destination.Writer
}

func (w *faultyWriter) Write(p []byte) (int, error) {
	return w.f.call(OpWrite, w.name, func() (int, error) { return w.inner.Write(p) })
}

func (w *faultyWriter) Commit(ctx context.Context) error {
	_, err := w.f.call(OpCommit, w.name, func() (int, error) { return 0, w.inner.Commit(ctx) })
	return err
}

func (w *faultyWriter) Abort() error {
	_, err := w.f.call(OpAbort, w.name, func() (int, error) { return 0, w.inner.Abort() })
	return err
}

type faultyReader struct {
	f     *Faulty
	name  string
	inner io.ReadCloser
}

func (r *faultyReader) Read(p []byte) (int, error) {
	return r.f.call(OpRead, r.name, func() (int, error) { return r.inner.Read(p) })
}

func (r *faultyReader) Close() error { return r.inner.Close() }
