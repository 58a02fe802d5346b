package destinationtest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
)

var errInjected = errors.New("injected")

func newDir(t *testing.T) destination.Destination {
	t.Helper()
	d, err := destination.NewDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestFaultyConformance(t *testing.T) {
	Run(t, func(t *testing.T) destination.Destination { return NewFaulty(newDir(t)) })
}

// callAll makes one call of every kind and returns the errors by kind. Calls
// that depend on a failed one are left out.
func callAll(t *testing.T, d destination.Destination) map[Op]error {
	t.Helper()
	ctx := t.Context()
	errs := map[Op]error{}
	w, err := d.Create(ctx, "new", destination.Replace)
	errs[OpCreate] = err
	if err == nil {
		_, errs[OpWrite] = w.Write([]byte("content"))
		errs[OpCommit] = w.Commit(ctx)
		errs[OpAbort] = w.Abort()
	}
	r, err := d.Open(ctx, "old", 0, -1)
	errs[OpOpen] = err
	if err == nil {
		_, errs[OpRead] = r.Read(make([]byte, 3))
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	_, errs[OpStat] = d.Stat(ctx, "old")
	errs[OpList] = d.List(ctx, "", func(destination.Info) error { return nil })
	errs[OpRemove] = d.Remove(ctx, "old")
	return errs
}

func TestFaultyFailsOneKindOfCall(t *testing.T) {
	for _, op := range []Op{OpCreate, OpWrite, OpCommit, OpOpen, OpRead, OpStat, OpList, OpRemove} {
		t.Run(string(op), func(t *testing.T) {
			inner := newDir(t)
			Put(t, inner, "old", []byte("old"))
			f := NewFaulty(inner)
			f.FailNth(op, 1, errInjected)
			for called, err := range callAll(t, f) {
				if (called == op) != errors.Is(err, errInjected) {
					t.Errorf("%s returned %v", called, err)
				}
			}
			_, err := inner.Stat(t.Context(), "new")
			if visible, want := err == nil, op != OpCreate && op != OpCommit; visible != want {
				t.Errorf("the new object is visible: %t, want %t", visible, want)
			}
			if f.Count(op) != 1 {
				t.Errorf("counted %d calls of %s", f.Count(op), op)
			}
			Put(t, f, "old", []byte("old")) // the second call passes
			for called, err := range callAll(t, f) {
				if err != nil {
					t.Errorf("second %s: %v", called, err)
				}
			}
		})
	}
}

func TestFaultyStorageGone(t *testing.T) {
	inner := newDir(t)
	Put(t, inner, "old", []byte("old"))
	f := NewFaulty(inner)
	f.FailAfter(3, errInjected) // create, write and commit pass
	for called, err := range callAll(t, f) {
		if fails := slices.Contains([]Op{OpOpen, OpStat, OpList, OpRemove}, called); fails != errors.Is(err, errInjected) {
			t.Errorf("%s returned %v", called, err)
		}
	}
	wantObjects(t, inner, "new", "old")
	f.Heal()
	wantObjects(t, f, "new", "old")
}

func TestFaultyCrash(t *testing.T) {
	inner := newDir(t)
	f := NewFaulty(inner)
	f.CrashAt(2) // create and write pass
	w := create(t, f, "folder/object", destination.Exclusive)
	write(t, w, []byte("content"))
	for call, err := range map[string]error{"commit": w.Commit(t.Context()), "abort": w.Abort(),
		"remove": f.Remove(t.Context(), "x"), "debris": f.RemoveDebris(t.Context(), "")} {
		if !errors.Is(err, ErrCrashed) {
			t.Errorf("%s returned %v after the crash", call, err)
		}
	}
	wantObjects(t, inner)
	if got := list(t, inner, ""); len(got) != 1 {
		t.Errorf("%v is left, want the folder with what nobody cleaned up", got)
	}
	if err := destination.RemoveDebris(t.Context(), inner, ""); err != nil {
		t.Fatal(err)
	}
	if got := list(t, inner, ""); len(got) != 0 {
		t.Errorf("%v is left after the debris was removed", got)
	}
	f.Heal()
	f.Crash()
	if _, err := f.Stat(t.Context(), "x"); !errors.Is(err, ErrCrashed) {
		t.Errorf("stat returned %v after Crash", err)
	}
}

func TestFaultyLostAnswer(t *testing.T) {
	inner := newDir(t)
	f := NewFaulty(inner)
	f.Add(Rule{Op: OpCommit, Name: "manifest", Nth: 1, Late: true, Err: errInjected})
	if err := put(t.Context(), f, "part", destination.Exclusive, nil); err != nil {
		t.Fatal(err)
	}
	err := put(t.Context(), f, "manifest", destination.Exclusive, []byte("x"))
	if !errors.Is(err, errInjected) {
		t.Fatalf("commit returned %v", err)
	}
	wantContent(t, inner, "manifest", []byte("x"))

	f.Add(Rule{Op: AnyOp, Nth: 1, Late: true, Forever: true, Err: errInjected})
	if _, err := f.Create(t.Context(), "a", destination.Exclusive); !errors.Is(err, errInjected) {
		t.Errorf("create returned %v", err)
	}
	if _, err := f.Open(t.Context(), "manifest", 0, -1); !errors.Is(err, errInjected) {
		t.Errorf("open returned %v", err)
	}
	if err := f.Remove(t.Context(), "manifest"); !errors.Is(err, errInjected) {
		t.Errorf("remove returned %v", err)
	}
	wantObjects(t, inner, "part")
}

func TestFaultyDamage(t *testing.T) {
	inner := newDir(t)
	content := pattern(1000)
	Put(t, inner, "object", content)
	Put(t, inner, "other", content)
	f := NewFaulty(inner)
	f.Flip("object", 0, 0x01)
	f.Flip("object", 700, 0x80)
	f.Flip("object", 700, 0x01)

	want := bytes.Clone(content)
	want[0] ^= 0x01
	want[700] ^= 0x81
	wantContent(t, f, "object", want)
	got, err := read(t.Context(), f, "object", 650, 100)
	if err != nil || !bytes.Equal(got, want[650:750]) {
		t.Errorf("a range of a damaged object: %v", err)
	}
	f.Cut("object", 600)
	wantContent(t, f, "object", want[:600])
	if info, err := f.Stat(t.Context(), "object"); err != nil || info.Size != 600 {
		t.Errorf("stat of a cut object: %+v, %v", info, err)
	}
	for _, r := range []struct{ offset, length int64 }{{599, 2}, {601, -1}, {1 << 62, 1 << 62}} {
		_, err = read(t.Context(), f, "object", r.offset, r.length)
		wantKind(t, err, fault.Corrupt)
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("range %d+%d of a cut object: %v", r.offset, r.length, err)
		}
	}
	wantContent(t, f, "other", content)
	f.Heal()
	wantContent(t, f, "object", content)
}

func TestFaultyTrace(t *testing.T) {
	f := NewFaulty(newDir(t))
	f.FailNth(OpStat, 2, errInjected)
	Put(t, f, "a/b", []byte("12345"))
	Get(t, f, "a/b")
	for range 2 {
		_, _ = f.Stat(t.Context(), "a/b") // the second fails, as the trace shows
	}
	if w := create(t, f, "c", destination.Replace); w.Abort() != nil {
		t.Error("abort failed")
	}
	if err := f.List(context.Background(), "a", func(destination.Info) error { return nil }); err != nil {
		t.Error(err)
	}
	if err := f.Remove(t.Context(), "a/b"); err != nil {
		t.Error(err)
	}
	var got []string
	for _, call := range f.Trace() {
		got = append(got, call.String())
	}
	wantEqual(t, got, []string{
		"create a/b", "write a/b 5", "commit a/b", "open a/b", "read a/b 5", "read a/b 0",
		"stat a/b", "stat a/b failed", "create c", "abort c", "list a", "remove a/b",
	})
	if n := f.Count(AnyOp); n != 11 {
		t.Errorf("counted %d calls, want all but the abort", n)
	}
}
