package check_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/destination/check"
	"github.com/brockdb/brock/backup/destination/destinationtest"
	"github.com/brockdb/brock/backup/fault"
)

func newDir(t *testing.T) destination.Destination {
	t.Helper()
	d, err := destination.NewDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

var quick = check.Options{Objects: 10, Writers: 5, LargeBytes: 1 << 20}

func TestGoodStorage(t *testing.T) {
	d := newDir(t)
	destinationtest.Put(t, d, "brock.20200101.000000.000/manifest.json", []byte("mine"))
	report, err := check.Run(t.Context(), d, quick)
	if err != nil || !report.Good || report.URI != d.String() || len(report.Results) != len(check.Checks(quick)) || report.ObjectLock != "no" {
		t.Errorf("%+v, %v", report, err)
	}
	for _, l := range report.Latencies {
		if l.Calls == 0 || l.Median > l.Most || l.Op == "write" && l.BytesPerSecond == 0 {
			t.Errorf("%+v", l)
		}
	}
	if left := destinationtest.Names(t, d, ""); !slices.Equal(left, []string{"brock.20200101.000000.000/manifest.json"}) {
		t.Errorf("left: %q", left)
	}
}

// bad is a storage that breaks one promise.
type bad struct {
	destination.Destination
	create func(ctx context.Context, name string, mode destination.Mode) (destination.Writer, error)
	open   func(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error)
	list   func(ctx context.Context, dir string, visit func(destination.Info) error) error
	remove func(ctx context.Context, name string) error
}

func (b *bad) Create(ctx context.Context, name string, mode destination.Mode) (destination.Writer, error) {
	if b.create == nil {
		return b.Destination.Create(ctx, name, mode)
	}
	return b.create(ctx, name, mode)
}

func (b *bad) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	if b.open == nil {
		return b.Destination.Open(ctx, name, offset, length)
	}
	return b.open(ctx, name, offset, length)
}

func (b *bad) List(ctx context.Context, dir string, visit func(destination.Info) error) error {
	if b.list == nil {
		return b.Destination.List(ctx, dir, visit)
	}
	return b.list(ctx, dir, visit)
}

func (b *bad) Remove(ctx context.Context, name string) error {
	if b.remove == nil {
		return b.Destination.Remove(ctx, name)
	}
	return b.remove(ctx, name)
}

// TestBadStorages: each broken promise is found by the check of that promise.
func TestBadStorages(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(b *bad, d destination.Destination)
		found string // the name of the check begins so
	}{
		"ignores conditions": {func(b *bad, d destination.Destination) {
			b.create = func(ctx context.Context, name string, _ destination.Mode) (destination.Writer, error) {
				return d.Create(ctx, name, destination.Replace)
			}
		}, "create if absent"},
		"shows what is being written": {func(b *bad, d destination.Destination) {
			b.create = func(ctx context.Context, name string, mode destination.Mode) (destination.Writer, error) {
				if !strings.Contains(name, "visible/") {
					return d.Create(ctx, name, mode)
				}
				w, err := d.Create(ctx, name, destination.Replace)
				if err != nil {
					return nil, err
				}
				return w, w.Commit(ctx)
			}
		}, "visible only"},
		"ignores ranges": {func(b *bad, d destination.Destination) {
			b.open = func(ctx context.Context, name string, _, _ int64) (io.ReadCloser, error) {
				return d.Open(ctx, name, 0, -1)
			}
		}, "ranged reads"},
		"lists backwards": {func(b *bad, d destination.Destination) {
			b.list = func(ctx context.Context, dir string, visit func(destination.Info) error) error {
				var all []destination.Info
				err := d.List(ctx, dir, func(info destination.Info) error { all = append(all, info); return nil })
				for _, info := range slices.Backward(all) {
					err = errors.Join(err, visit(info))
				}
				return err
			}
		}, "a folder of many"},
		"removes what is not there": {func(b *bad, d destination.Destination) {
			b.remove = func(ctx context.Context, name string) error {
				if err := d.Remove(ctx, name); !fault.Is(err, fault.NotFound) {
					return err
				}
				return nil
			}
		}, "remove"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDir(t)
			b := &bad{Destination: d}
			test.spoil(b, d)
			report, err := check.Run(t.Context(), b, quick)
			if err == nil || report == nil || report.Good {
				t.Fatalf("%+v, %v", report, err)
			}
			for _, r := range report.Results {
				if found := strings.HasPrefix(r.Name, test.found); found && r.Problem == "" {
					t.Errorf("%s is found to be good", r.Name)
				}
			}
			if left := destinationtest.Names(t, d, ""); len(left) != 0 {
				t.Errorf("left: %q", left)
			}
		})
	}
}

func TestDeniedStorage(t *testing.T) {
	faulty := destinationtest.NewFaulty(newDir(t))
	faulty.Add(destinationtest.Rule{Op: destinationtest.OpCommit, Nth: 1, Forever: true, Err: fault.New(fault.Denied, "write", "you may not")})
	report, err := check.Run(t.Context(), faulty, quick)
	if !fault.Is(err, fault.Denied) || report == nil || len(report.Results) != 1 || report.Results[0].Problem == "" {
		t.Errorf("%+v, %v", report, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if report, err := check.Run(ctx, newDir(t), quick); !fault.Is(err, fault.Canceled) || report.Good {
		t.Errorf("canceled: %+v, %v", report, err)
	}
	if _, err := check.Run(t.Context(), newDir(t), check.Options{Writers: 1}); !fault.Is(err, fault.Usage) {
		t.Errorf("one writer: %v", err)
	}
}
