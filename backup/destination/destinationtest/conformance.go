// Package destinationtest has what tests of destinations and of their users
// need: the conformance suite every backend passes, and a destination that
// fails, crashes and damages bytes on demand.
package destinationtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/destination/check"
	"github.com/brockdb/brock/backup/fault"
)

// Run checks that a backend keeps the promises of destination.Destination. open
// returns an empty destination each time and cleans up through t.
func Run(t *testing.T, open func(t *testing.T) destination.Destination) { RunExcept(t, open) }

// RunExcept is Run without the named tests, for a server that is known to fail
// them: whoever calls it says why.
func RunExcept(t *testing.T, open func(t *testing.T) destination.Destination, except ...string) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, d destination.Destination)
	}{
		{"visible only after commit", testVisibility},
		{"aborted is invisible", testAbort},
		{"an ended writer refuses", testEndedWriter},
		{"contents and sizes", testContents},
		{"exclusive refuses what exists", testExclusive},
		{"one of many exclusive writers wins", testExclusiveRace},
		{"replace is atomic", testReplace},
		{"ranges", testRanges},
		{"past the end", testPastTheEnd},
		{"names", testNames},
		{"bad names", testBadNames},
		{"missing objects", testMissing},
		{"list", testList},
		{"list many", testListMany},
		{"list stops", testListStops},
		{"remove", testRemove},
		{"remove beside writers", testRemoveRace},
		{"debris", testDebris},
		{"canceled", testCanceled},
		{"operators' checks", testChecks},
	} {
		if slices.Contains(except, test.name) {
			continue
		}
		t.Run(test.name, func(t *testing.T) {
			t.Parallel() // they wait for disks most of the time
			test.run(t, open(t))
		})
	}
}

func testVisibility(t *testing.T, d destination.Destination) {
	ctx := t.Context()
	w := create(t, d, "folder/object", destination.Exclusive)
	write(t, w, []byte("hello"))
	wantAbsent(t, d, "folder/object")
	if err := w.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	wantContent(t, d, "folder/object", []byte("hello"))
	if err := w.Abort(); err != nil {
		t.Fatalf("abort after commit: %v", err)
	}
	wantContent(t, d, "folder/object", []byte("hello"))
	wantObjects(t, d, "folder/object")
}

func testAbort(t *testing.T, d destination.Destination) {
	Put(t, d, "kept", []byte("old"))
	for _, mode := range []destination.Mode{destination.Exclusive, destination.Replace} {
		w := create(t, d, "folder/object", mode)
		write(t, w, make([]byte, 1<<20))
		for range 2 {
			if err := w.Abort(); err != nil {
				t.Fatal(err)
			}
		}
		wantAbsent(t, d, "folder/object")
	}
	w := create(t, d, "kept", destination.Replace)
	write(t, w, []byte("new"))
	if err := w.Abort(); err != nil {
		t.Fatal(err)
	}
	wantContent(t, d, "kept", []byte("old"))
	wantObjects(t, d, "kept")
}

func testEndedWriter(t *testing.T, d destination.Destination) {
	committed := create(t, d, "a", destination.Replace)
	if err := committed.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	aborted := create(t, d, "b", destination.Replace)
	if err := aborted.Abort(); err != nil {
		t.Fatal(err)
	}
	for name, w := range map[string]destination.Writer{"committed": committed, "aborted": aborted} {
		if _, err := w.Write([]byte("x")); err == nil {
			t.Errorf("a write to a writer that was %s succeeded", name)
		}
		if err := w.Commit(t.Context()); err == nil {
			t.Errorf("a commit of a writer that was %s succeeded", name)
		}
	}
	wantContent(t, d, "a", nil)
	wantAbsent(t, d, "b")
}

func testContents(t *testing.T, d destination.Destination) {
	for _, size := range []int{0, 1, 4096, 1<<20 + 1, 17 << 20} {
		name := fmt.Sprintf("size-%d", size)
		content := pattern(size)
		Put(t, d, name, content)
		wantContent(t, d, name, content)
		info, err := d.Stat(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Name != name || info.Size != int64(size) || info.Dir || info.Modified.IsZero() {
			t.Errorf("stat of %s returned %+v", name, info)
		}
	}
}

func testExclusive(t *testing.T, d destination.Destination) {
	Put(t, d, "object", []byte("first"))
	w, err := d.Create(t.Context(), "object", destination.Exclusive)
	if err == nil {
		write(t, w, []byte("second"))
		err = w.Commit(t.Context())
		if abortErr := w.Abort(); abortErr != nil {
			t.Fatal(abortErr)
		}
	}
	wantKind(t, err, fault.Exists)
	wantContent(t, d, "object", []byte("first"))
	wantObjects(t, d, "object")
}

func testRanges(t *testing.T, d destination.Destination) {
	content := pattern(100_000)
	Put(t, d, "object", content)
	size := int64(len(content))
	for _, r := range []struct{ offset, length int64 }{
		{0, -1}, {0, 0}, {0, 1}, {0, size}, {1, size - 1}, {size / 2, 1000},
		{size - 1, 1}, {size - 1, -1}, {size, 0}, {size, -1}, {70_000, -1},
	} {
		got, err := read(t.Context(), d, "object", r.offset, r.length)
		if err != nil {
			t.Fatalf("range %d+%d: %v", r.offset, r.length, err)
		}
		want := content[r.offset:]
		if r.length >= 0 {
			want = want[:r.length]
		}
		if !bytes.Equal(got, want) {
			t.Errorf("range %d+%d: wrong bytes (%d of %d)", r.offset, r.length, len(got), len(want))
		}
	}
	f, err := d.Open(t.Context(), "object", 10, 50_000)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := iotest.TestReader(f, content[10:50_010]); err != nil {
		t.Error(err)
	}
}

func testPastTheEnd(t *testing.T, d destination.Destination) {
	Put(t, d, "object", []byte("0123456789"))
	Put(t, d, "empty", nil)
	const huge = 1<<63 - 1
	for _, r := range []struct {
		name           string
		offset, length int64
	}{
		{"object", 0, 11}, {"object", 10, 1}, {"object", 11, 0}, {"object", 11, -1},
		{"object", 5, huge}, {"object", huge, huge}, {"object", huge, -1}, {"empty", 0, 1},
	} {
		_, err := read(t.Context(), d, r.name, r.offset, r.length)
		if !fault.Is(err, fault.Corrupt) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("range %d+%d of %s: got error %v, want one of a short object", r.offset, r.length, r.name, err)
		}
	}
	_, err := read(t.Context(), d, "object", -1, 1)
	wantKind(t, err, fault.Usage)
}

func testMissing(t *testing.T, d destination.Destination) {
	// First where nothing has ever been written, then beside other objects.
	for range 2 {
		for _, name := range []string{"missing", "folder", "folder/missing", "no/such/folder", "folder/object/below"} {
			wantAbsent(t, d, name)
			wantKind(t, d.Remove(t.Context(), name), fault.NotFound)
		}
		if got := list(t, d, "no/such/folder"); len(got) != 0 {
			t.Errorf("a missing folder lists %v", got)
		}
		Put(t, d, "folder/object", []byte("x"))
	}
	wantObjects(t, d, "folder/object")
}

func testNames(t *testing.T, d destination.Destination) {
	long := strings.Repeat("n", 255)
	names := []string{
		"a", "A", "with space", "dots.in..it", ".hidden", "…", "brock.20261120.181502.354/r32-g1.0002.backup",
		"größe/数据库/🦡", "percent%20%2F%00", "?query=1#fragment", "a+b&c=d;e:f,g@h", `quote"'*<>|`, "-dash", "~",
		long, long[1:] + "x/" + long + "/" + long + "/" + strings.Repeat("m", 1000-3*256), strings.Repeat("é", 127),
	}
	for i, name := range names {
		Put(t, d, name, []byte(fmt.Sprint(i)))
	}
	for i, name := range names {
		wantContent(t, d, name, []byte(fmt.Sprint(i)))
	}
	wantObjects(t, d, names...)
}

func testBadNames(t *testing.T, d destination.Destination) {
	Put(t, d, "a/b", []byte("x"))
	for _, name := range []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "./a", "../a", "a/..", "a/../b", "a/./b", `a\b`, "a\x00b", "a\nb",
		"\x7f", "a\u0085b", "\xff", strings.Repeat("x", 256), strings.Repeat("x/", 500) + "x", ".tmp-x", "a/.tmp-x/b",
	} {
		ctx := t.Context()
		w, err := d.Create(ctx, name, destination.Replace)
		wantKind(t, err, fault.Usage)
		if err == nil {
			t.Fatalf("%q: %v", name, w.Abort())
		}
		_, err = read(ctx, d, name, 0, -1)
		wantKind(t, err, fault.Usage)
		_, err = d.Stat(ctx, name)
		wantKind(t, err, fault.Usage)
		wantKind(t, d.Remove(ctx, name), fault.Usage)
		if name != "" {
			err = d.List(ctx, name, func(destination.Info) error { return nil })
			wantKind(t, err, fault.Usage)
		}
	}
	wantObjects(t, d, "a/b")
}

func testRemove(t *testing.T, d destination.Destination) {
	ctx := t.Context()
	for _, name := range []string{"f/g/1", "f/g/2", "f/3", "top"} {
		Put(t, d, name, []byte(name))
	}
	steps := []struct {
		remove string
		left   []string // names directly below the root
	}{
		{"f/g/1", []string{"f", "top"}},
		{"f/3", []string{"f", "top"}},
		{"f/g/2", []string{"top"}},
		{"top", nil},
	}
	for _, step := range steps {
		if err := d.Remove(ctx, step.remove); err != nil {
			t.Fatal(err)
		}
		wantAbsent(t, d, step.remove)
		wantKind(t, d.Remove(ctx, step.remove), fault.NotFound)
		var got []string
		for _, info := range list(t, d, "") {
			got = append(got, info.Name)
		}
		wantEqual(t, got, step.left)
	}
	Put(t, d, "f/g/1", []byte("again"))
	wantObjects(t, d, "f/g/1")
}

func testDebris(t *testing.T, d destination.Destination) {
	ctx := t.Context()
	Put(t, d, "backup/kept", []byte("x"))
	Put(t, d, "top", []byte("y"))
	left := create(t, d, "backup/left", destination.Exclusive)
	deep := create(t, d, "backup/deep/left", destination.Exclusive)
	other := create(t, d, "other/left", destination.Exclusive)
	for _, w := range []destination.Writer{left, deep, other} {
		write(t, w, make([]byte, 9<<20)) // more than the part an object store waits for
	}
	for _, dir := range []string{"backup", "missing", "top", "other", ""} {
		if err := destination.RemoveDebris(ctx, d, dir); err != nil {
			t.Fatal(err)
		}
	}
	if destination.HasDebris(d) {
		wantObjects(t, d, "backup/kept", "top")
		// Their bytes are gone, so these writers must not succeed.
		for _, w := range []destination.Writer{left, deep, other} {
			if err := w.Commit(ctx); err == nil {
				t.Error("a writer whose bytes were removed as debris committed")
			}
		}
	}
	for _, w := range []destination.Writer{left, deep, other} {
		if err := w.Abort(); err != nil {
			t.Error(err)
		}
	}
	wantObjects(t, d, "backup/kept", "top")
	// An NFS client keeps a removed file, and with it the folder, until its
	// writers have closed it.
	if err := destination.RemoveDebris(ctx, d, ""); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, info := range list(t, d, "") {
		names = append(names, info.Name)
	}
	wantEqual(t, names, []string{"backup", "top"})
	if err := destination.RemoveDebris(ctx, d, "../x"); err != nil {
		wantKind(t, err, fault.Usage)
	}
}

func testCanceled(t *testing.T, d destination.Destination) {
	Put(t, d, "object", pattern(1<<20))
	ctx, cancel := context.WithCancel(t.Context())
	cancelNow := context.WithoutCancel(ctx)

	reader, err := d.Open(ctx, "object", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if _, err := io.ReadFull(reader, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	writing, err := d.Create(ctx, "new", destination.Exclusive)
	if err != nil {
		t.Fatal(err)
	}
	committing := create(t, d, "new", destination.Exclusive)
	write(t, writing, []byte("x"))
	write(t, committing, []byte("x"))
	cancel()

	_, err = io.ReadAll(reader)
	wantKind(t, err, fault.Canceled)
	_, err = writing.Write([]byte("y"))
	wantKind(t, err, fault.Canceled)
	wantKind(t, writing.Commit(cancelNow), fault.Canceled)
	wantKind(t, committing.Commit(ctx), fault.Canceled)
	_, err = d.Create(ctx, "other", destination.Replace)
	wantKind(t, err, fault.Canceled)
	_, err = d.Open(ctx, "object", 0, -1)
	wantKind(t, err, fault.Canceled)
	_, err = d.Stat(ctx, "object")
	wantKind(t, err, fault.Canceled)
	wantKind(t, d.List(ctx, "", func(destination.Info) error { return nil }), fault.Canceled)
	wantKind(t, d.Remove(ctx, "object"), fault.Canceled)
	for _, w := range []destination.Writer{writing, committing} {
		if err := w.Abort(); err != nil {
			t.Error(err)
		}
	}
	wantObjects(t, d, "object")
}

// testChecks runs what operators run: all is good, and nothing is left.
func testChecks(t *testing.T, d destination.Destination) {
	report, err := check.Run(t.Context(), d, check.Options{Objects: 40, LargeBytes: 12 << 20})
	if err != nil || !report.Good || report.Left != "" || len(report.Latencies) == 0 {
		t.Errorf("%+v, %v", report, err)
	}
	wantObjects(t, d)
}
