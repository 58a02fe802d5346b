package worker

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
	"github.com/brockdb/brock/worker/store"
	"github.com/brockdb/brock/worker/task"
)

func openNode(t *testing.T, o Options) *Node {
	t.Helper()
	n, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func put(t *testing.T, n *Node, key, value string) {
	t.Helper()
	_, err := n.Propose(t.Context(), &store.Batch{Puts: []store.Put{{Collection: "c", Key: key, Value: []byte(value)}}})
	if err != nil {
		t.Fatal(err)
	}
}

// run takes a backup through the queue and returns the ended task.
func run(t *testing.T, n *Node, q BackupRequest) task.Task {
	t.Helper()
	id, err := n.SubmitBackup(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		found, err := n.Task(id)
		if err != nil {
			t.Fatal(err)
		}
		if found.Status.Final() {
			return found
		}
	}
	t.Fatalf("task %s does not end", id)
	return task.Task{}
}

func TestBackupSeries(t *testing.T) {
	n := openNode(t, Options{Dir: t.TempDir(), Group: 2})
	location := filepath.Join(t.TempDir(), "new")
	put(t, n, "a", "1")
	var tasks []task.Task
	for i, force := range []bool{false, false, true, false} {
		put(t, n, fmt.Sprint(i), "2")
		ended := run(t, n, BackupRequest{Destination: "file://" + location + "/", ForceFull: force})
		if ended.Status != task.Success || ended.Progress.Fraction != 1 || !strings.Contains(string(ended.Params), `"destination":"`+location+`"`) {
			t.Fatalf("%+v: %s", ended, ended.Params)
		}
		tasks = append(tasks, ended)
	}
	found, err := n.ListBackups(t.Context(), ListRequest{Location: location})
	if err != nil || len(found.Manifests) != 4 || len(found.Damaged) != 0 {
		t.Fatalf("%+v, %v", found, err)
	}
	for i, m := range found.Manifests {
		want := []string{manifest.Full, manifest.Incremental, manifest.Full, manifest.Incremental}[i]
		if m.Type != want || m.Groups[2] == nil || m.DBID != n.Status().DBID || !strings.Contains(string(tasks[i].Result), `"path":"`+m.Path+`"`) {
			t.Errorf("backup %d: %+v, its task: %s", i, m, tasks[i].Result)
		}
	}
}

func TestSubmitTellsAtOnce(t *testing.T) {
	dir := t.TempDir()
	n := openNode(t, Options{Dir: dir})
	for destination, kind := range map[string]fault.Kind{"": fault.Usage, "x": fault.Usage, "ftp://x": fault.Usage,
		dir: fault.Usage, filepath.Join(dir, "backups"): fault.Usage} {
		if _, err := n.SubmitBackup(t.Context(), BackupRequest{Destination: destination}); !fault.Is(err, kind) || fault.HintOf(err) == "" {
			t.Errorf("%q: %v", destination, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if id, err := n.SubmitBackup(ctx, BackupRequest{Destination: t.TempDir()}); err == nil {
		t.Errorf("a canceled request was queued as %s", id)
	}
	if len(n.Tasks()) != 0 {
		t.Errorf("%+v", n.Tasks())
	}
}

// TestCloseDuringBackups closes the node at many moments of a backup. The next
// process finds every task ended, and its own backup leaves nothing of dead ones.
func TestCloseDuringBackups(t *testing.T) {
	dir, location := t.TempDir(), t.TempDir()
	ids := []string{}
	for round := range 12 {
		n, err := Open(t.Context(), Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			found, err := n.Task(id)
			if err != nil || !found.Status.Final() {
				t.Fatalf("task %s of an earlier process: %+v, %v", id, found, err)
			}
			if found.Status == task.Failed && found.Message != "the alpha was stopped" && !strings.HasPrefix(found.Message, "the alpha process died (or was stopped) before it began") {
				t.Errorf("it says %q", found.Message)
			}
		}
		put(t, n, fmt.Sprint(round), `"`+strings.Repeat("x", 50_000)+`"`)
		for range 2 {
			id, err := n.SubmitBackup(t.Context(), BackupRequest{Destination: location, ForceFull: round%3 == 0})
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
		}
		time.Sleep(time.Duration(round) * 4 * time.Millisecond)
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
	n := openNode(t, Options{Dir: dir})
	if ended := run(t, n, BackupRequest{Destination: location}); ended.Status != task.Success {
		t.Fatalf("%+v", ended)
	}
	entries, err := os.ReadDir(location)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), "brock.2") {
			continue
		}
		if _, err := os.Stat(filepath.Join(location, entry.Name(), manifest.FileName)); err != nil {
			t.Errorf("debris: %v", err)
		}
	}
}

func TestStatus(t *testing.T) {
	n := openNode(t, Options{Dir: t.TempDir(), Group: 7})
	before := n.Status()
	put(t, n, "", "1")
	after := n.Status()
	if before.Group != 7 || len(before.DBID) != 32 || before.MaxUID != 0 || after.MaxUID == 0 || after.MaxTs <= before.MaxTs || len(after.Ongoing) != 0 {
		t.Errorf("%+v, then %+v", before, after)
	}
}

func TestPeriods(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	begun := map[string]time.Time{
		"old":     time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC),
		"morning": time.Date(2026, 11, 18, 0, 0, 0, 0, time.UTC),
		"night":   time.Date(2026, 11, 18, 23, 59, 59, 999e6, time.UTC),
		"today":   time.Date(2026, 11, 20, 11, 0, 0, 0, time.UTC),
	}
	for _, test := range []struct {
		request ListRequest
		want    string
	}{
		{ListRequest{}, "morning night old today"},
		{ListRequest{SinceDate: "2026-11-18"}, "morning night today"},
		{ListRequest{UntilDate: "2026-11-18"}, "morning night old"},
		{ListRequest{SinceDate: "2026-11-18", UntilDate: "2026-11-18"}, "morning night"},
		{ListRequest{SinceDate: "2026-11-18T00:00:01Z"}, "night today"},
		{ListRequest{SinceDate: "2026-11-19T01:30:00+02:00"}, "night today"},
		{ListRequest{UntilDate: "2026-11-18T00:00:00Z"}, "morning old"},
		{ListRequest{LastNDays: 1}, "today"},
		{ListRequest{LastNDays: 2}, "night today"},
		{ListRequest{LastNDays: 2, SinceDate: "2026-11-20"}, "today"},
		{ListRequest{LastNDays: 2, UntilDate: "2026-11-18"}, "night"},
	} {
		p, err := test.request.period(now)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for name, at := range begun {
			if p.holds(at) {
				got = append(got, name)
			}
		}
		slices.Sort(got)
		if strings.Join(got, " ") != test.want {
			t.Errorf("%+v: %v, not %s", test.request, got, test.want)
		}
	}
	for _, bad := range []ListRequest{
		{SinceDate: "18.11.2026"}, {UntilDate: "2026-13-01"}, {SinceDate: "2026-11-18 10:00"}, {LastNDays: -1}, {LastNDays: 1 << 40},
		{SinceDate: "2026-11-19", UntilDate: "2026-11-18"},
	} {
		if p, err := bad.period(now); !fault.Is(err, fault.Usage) {
			t.Errorf("%+v: %+v, %v", bad, p, err)
		}
	}
}
