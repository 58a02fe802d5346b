package destination

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brockdb/brock/backup/fault"
)

var errBusy = fault.New(fault.Unavailable, "do it", "the server is busy")

// quick retries without much waiting.
var quick = Retry{Attempts: 4, MinDelay: time.Microsecond, MaxDelay: time.Millisecond}

func TestRetryDelaysDoubleAndVary(t *testing.T) {
	r := Retry{MinDelay: 100 * time.Millisecond, MaxDelay: time.Second}
	for failed, most := range map[int]time.Duration{1: 100 * time.Millisecond, 2: 200 * time.Millisecond,
		4: 800 * time.Millisecond, 5: time.Second, 64: time.Second, 1000: time.Second} {
		seen := map[time.Duration]bool{}
		for range 200 {
			d := r.delay(failed)
			if d < most/2 || d > most {
				t.Fatalf("%v after %d failures, want %v to %v", d, failed, most/2, most)
			}
			seen[d] = true
		}
		if len(seen) < 50 {
			t.Errorf("only %d different delays after %d failures", len(seen), failed)
		}
	}
}

func TestRetryTriesUnavailableOnly(t *testing.T) {
	for kind := fault.Other; kind <= fault.Unavailable; kind++ {
		calls := 0
		err := quick.do(t.Context(), "do it", func(context.Context) error {
			calls++
			return fault.New(kind, "do it", "failed")
		})
		want := 1
		if kind == fault.Unavailable {
			want = quick.Attempts
		}
		if calls != want || !fault.Is(err, kind) {
			t.Errorf("%v: %d attempts, want %d; %v", kind, calls, want, err)
		}
	}
}

func TestRetryTellsAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var notices []string
		ctx := WithNotice(t.Context(), func(text string) { notices = append(notices, text) })
		var retries []int
		begun := time.Now()
		err := Retry{}.do(ctx, "write part 3", func(ctx context.Context) error {
			retries = append(retries, retriesOf(ctx))
			return errBusy
		})
		if took := time.Since(begun); took < 32*time.Second || took > 3*time.Minute {
			t.Errorf("gave up after %v", took)
		}
		if len(retries) != defaultAttempts || retries[0] != 0 || retries[defaultAttempts-1] != defaultAttempts-1 {
			t.Errorf("the attempts saw %v", retries)
		}
		if !fault.Is(err, fault.Unavailable) || !errors.Is(err, errBusy) || fault.HintOf(err) == "" ||
			!strings.HasPrefix(err.Error(), "cannot write part 3: 10 attempts in ") {
			t.Errorf("got %v", err)
		}
		if len(notices) != defaultAttempts-1 || !strings.Contains(notices[1], "attempt 2 of 10 to write part 3 failed, the next is in ") ||
			!strings.Contains(notices[1], "busy") {
			t.Errorf("told %q", notices)
		}
	})
}

func TestRetryStopsWhenCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		err := Retry{MinDelay: time.Hour, MaxDelay: time.Hour}.do(ctx, "do it", func(context.Context) error { return errBusy })
		if !fault.Is(err, fault.Canceled) || time.Since(begun) != time.Second {
			t.Errorf("got %v after %v", err, time.Since(begun))
		}
	})
}

// flaky is a destination whose calls fail as often as fails says, then work. Its
// readers break after every few bytes.
type flaky struct {
	Destination
	fails  int
	late   bool // carried out all the same
	piece  int  // bytes until a reader breaks; 0: never
	opened int
	listed int // entries until a listing breaks; 0: never
}

func (f *flaky) try(do func() error) error {
	if f.fails == 0 {
		return do()
	}
	f.fails--
	if f.late {
		_ = do() // its answer is lost
	}
	return errBusy
}

func (f *flaky) Stat(ctx context.Context, name string) (info Info, err error) {
	err = f.try(func() error { info, err = f.Destination.Stat(ctx, name); return err })
	return info, err
}

func (f *flaky) Remove(ctx context.Context, name string) error {
	return f.try(func() error { return f.Destination.Remove(ctx, name) })
}

func (f *flaky) Create(ctx context.Context, name string, mode Mode) (w Writer, err error) {
	err = f.try(func() error { w, err = f.Destination.Create(ctx, name, mode); return err })
	return w, err
}

func (f *flaky) List(ctx context.Context, dir string, visit func(Info) error) error {
	n := 0
	return f.Destination.List(ctx, dir, func(info Info) error {
		if n++; n > f.listed && f.listed > 0 {
			f.listed += 3
			return errBusy
		}
		return visit(info)
	})
}

func (f *flaky) Open(ctx context.Context, name string, offset, length int64) (r io.ReadCloser, err error) {
	f.opened++
	err = f.try(func() error { r, err = f.Destination.Open(ctx, name, offset, length); return err })
	if err != nil || f.piece == 0 {
		return r, err
	}
	return &breakingReader{r, f.piece}, nil
}

type breakingReader struct {
	io.ReadCloser
	left int
}

func (r *breakingReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p[:min(len(p), r.left)])
	if r.left -= n; r.left == 0 {
		return n, errBusy
	}
	return n, err
}

func retryingDir(t *testing.T, objects ...string) (*flaky, Destination) {
	t.Helper()
	dir, err := NewDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range objects {
		w, err := dir.Create(t.Context(), name, Exclusive)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, "content of "+name); err != nil {
			t.Fatal(err)
		}
		if err := w.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	f := &flaky{Destination: dir}
	return f, Retrying(f, quick)
}

func TestRetryingCalls(t *testing.T) {
	f, d := retryingDir(t, "a", "b")
	calls := map[string]func() error{
		"stat": func() error { _, err := d.Stat(t.Context(), "a"); return err },
		"open": func() error {
			r, err := d.Open(t.Context(), "a", 0, -1)
			if err == nil {
				err = r.Close()
			}
			return err
		},
		"create": func() error {
			w, err := d.Create(t.Context(), "new", Replace)
			if err == nil {
				err = w.Abort()
			}
			return err
		},
	}
	for name, call := range calls {
		f.fails = 3
		if err := call(); err != nil {
			t.Errorf("%s that failed three times: %v", name, err)
		}
		f.fails = 4
		if err := call(); !fault.Is(err, fault.Unavailable) {
			t.Errorf("%s that failed four times: %v", name, err)
		}
		f.fails = 0
	}
	if _, err := d.Stat(t.Context(), "missing"); !fault.Is(err, fault.NotFound) {
		t.Errorf("got %v", err)
	}
}

func TestRetryingRemoveWhoseAnswerWasLost(t *testing.T) {
	f, d := retryingDir(t, "a")
	f.fails, f.late = 1, true
	if err := d.Remove(t.Context(), "a"); err != nil {
		t.Errorf("the first attempt removed it: %v", err)
	}
	if err := d.Remove(t.Context(), "a"); !fault.Is(err, fault.NotFound) {
		t.Errorf("got %v", err)
	}
}

func TestRetryingListGoesOn(t *testing.T) {
	var names []string
	for i := range 9 {
		names = append(names, fmt.Sprintf("many/%d", i))
	}
	f, d := retryingDir(t, names...)
	f.listed = 2
	var got []string
	visit := func(info Info) error { got = append(got, info.Name); return nil }
	if err := d.List(t.Context(), "many", visit); err != nil {
		t.Fatal(err)
	}
	if strings.Join(got, " ") != strings.Join(names, " ") {
		t.Errorf("visited %q", got)
	}
	f.listed = 0
	own := fault.New(fault.Unavailable, "visit", "my own")
	calls := 0
	err := d.List(t.Context(), "many", func(Info) error { calls++; return own })
	if !errors.Is(err, own) || calls != 1 {
		t.Errorf("the visitor's error was retried: %d visits, %v", calls, err)
	}
}

func TestResumedReads(t *testing.T) {
	const name = "some/object"
	content := "content of " + name
	for piece := 1; piece <= len(content)+1; piece++ {
		for _, r := range []struct{ offset, length int64 }{{0, -1}, {0, int64(len(content))}, {3, 9}, {5, -1}, {4, 0}} {
			f, d := retryingDir(t, name)
			f.piece = piece
			reader, err := d.Open(t.Context(), name, r.offset, r.length)
			if err != nil {
				t.Fatal(err)
			}
			f.fails = 1 // the first attempt to resume fails too
			got, err := io.ReadAll(reader)
			want := content[r.offset:]
			if r.length >= 0 {
				want = want[:r.length]
			}
			if err != nil || string(got) != want {
				t.Errorf("range %d+%d broken every %d bytes: %q, %v", r.offset, r.length, piece, got, err)
			}
			if n, err := reader.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
				t.Errorf("after the end: %d, %v", n, err)
			}
			if err := reader.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestResumedReadGivesUp(t *testing.T) {
	f, d := retryingDir(t, "a")
	f.piece = 4
	r, err := d.Open(t.Context(), "a", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	f.fails = 1000
	got, err := io.ReadAll(r)
	if string(got) != "cont" || !fault.Is(err, fault.Unavailable) || f.opened != quick.Attempts {
		t.Errorf("got %q, %v after %d attempts", got, err, f.opened)
	}
	if _, again := r.Read(make([]byte, 1)); again != err { //nolint:errorlint // the very same
		t.Errorf("then %v", again)
	}
	f.fails = 0
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}
