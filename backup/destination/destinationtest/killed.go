package destinationtest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/brockdb/brock/backup/destination"
)

// RunKilled checks what a destination shows after its writer was killed with
// SIGKILL: nothing of the object it was writing, every object whose Commit had
// returned, and no object that is not whole. open is as in Run; reopen opens the
// same destination from another process, by its URI. The test that calls
// RunKilled must do nothing before it: its child process runs it as well.
func RunKilled(t *testing.T, open func(t *testing.T) destination.Destination,
	reopen func(uri string) (destination.Destination, error)) {
	if job, ok := ChildJob(); ok {
		d, err := reopen(strings.TrimPrefix(strings.TrimPrefix(job, "write "), "commit "))
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(job, "write ") {
			err = writeUntilKilled(ChildContext(t), d)
		} else {
			err = commitUntilKilled(ChildContext(t), d)
		}
		t.Fatalf("not killed: %v", err)
	}
	for _, writes := range []int{1, 20, 200} { // 200 are more than a part
		killDuringWrite(t, open(t), writes)
	}
	for _, commits := range []int{1, 5, 25} {
		killDuringCommit(t, open(t), commits)
	}
}

func writeUntilKilled(ctx context.Context, d destination.Destination) error {
	w, err := d.Create(ctx, "killed/object", destination.Exclusive)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		if _, err := w.Write(make([]byte, 64<<10)); err != nil {
			return err
		}
		if err := Report("wrote"); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func killDuringWrite(t *testing.T, d destination.Destination, writes int) {
	t.Helper()
	child, err := StartChild(t, "write "+d.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for range writes {
		child.Next()
	}
	child.Kill()
	wantAbsent(t, d, "killed/object")
	wantObjects(t, d)
	if err := destination.RemoveDebris(t.Context(), d, "killed"); err != nil {
		t.Fatal(err)
	}
	if got := list(t, d, ""); len(got) != 0 {
		t.Errorf("left after the debris was removed: %v", got)
	}
	if err := put(t.Context(), d, "killed/object", destination.Exclusive, []byte("next")); err != nil {
		t.Errorf("the next writer: %v", err)
	}
}

func commitUntilKilled(ctx context.Context, d destination.Destination) error {
	for i := 0; ctx.Err() == nil; i++ {
		name := fmt.Sprintf("killed/%06d", i)
		if err := put(ctx, d, name, destination.Exclusive, contentOf(name)); err != nil {
			return err
		}
		if err := Report(name); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// contentOf returns bytes that tell the objects of a test apart.
func contentOf(name string) []byte { return bytes.Repeat([]byte(name+"\n"), 10_000) }

func killDuringCommit(t *testing.T, d destination.Destination, commits int) {
	t.Helper()
	child, err := StartChild(t, "commit "+d.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var acknowledged []string
	for range commits {
		acknowledged = append(acknowledged, child.Next())
	}
	acknowledged = append(acknowledged, child.Kill()...)
	visible := Names(t, d, "")
	for _, name := range acknowledged {
		if !slices.Contains(visible, name) {
			t.Errorf("%s was committed and is gone", name)
		}
	}
	if extra := len(visible) - len(acknowledged); extra > 1 {
		t.Errorf("%d objects are visible that were not committed", extra)
	}
	for _, name := range visible {
		wantContent(t, d, name, contentOf(name))
	}
}
