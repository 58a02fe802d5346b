package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
	"github.com/brockdb/brock/restore"
	"github.com/brockdb/brock/worker/store"
	"github.com/brockdb/brock/worker/task"
)

// world is what a node should hold: "namespace/name" -> key -> value.
type world map[string]map[string]string

func (w world) clone() world {
	c := make(world, len(w))
	for name, records := range w {
		c[name] = maps.Clone(records)
	}
	return c
}

func splitName(name string) (namespace, collection string) {
	namespace, collection, _ = strings.Cut(name, "/")
	return namespace, collection
}

// worldOf reads all of a node.
func worldOf(t *testing.T, n *Node) world {
	t.Helper()
	v, err := n.View()
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	all, err := v.Collections("")
	if err != nil {
		t.Fatal(err)
	}
	w := world{}
	for _, c := range all {
		if c.Restoring {
			t.Errorf("%s/%s is marked as being restored", c.Namespace, c.Name)
		}
		records := map[string]string{}
		err := v.Scan(t.Context(), c.Namespace, c.Name, store.ScanOptions{}, func(key string, value []byte, _ uint64) error {
			records[key] = string(value)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		w[c.Namespace+"/"+c.Name] = records
	}
	return w
}

func (w world) check(t *testing.T, what string, got world) {
	t.Helper()
	if !maps.EqualFunc(w, got, func(a, b map[string]string) bool { return maps.Equal(a, b) }) {
		t.Fatalf("%s: there is\n%v\ninstead of\n%v", what, got, w)
	}
}

// load runs a restore through the queue and returns the ended task.
func load(t *testing.T, n *Node, q RestoreRequest) (task.Task, error) {
	t.Helper()
	id, err := n.SubmitRestore(t.Context(), q)
	if err != nil {
		return task.Task{}, err
	}
	return ended(t, n, id), nil
}

func ended(t *testing.T, n *Node, id string) task.Task {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
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

// mutate changes a node and its model at random.
func mutate(t *testing.T, n *Node, w world, random *rand.Rand, changes int) {
	t.Helper()
	for range changes {
		name := []string{"default/", "geo/"}[random.IntN(2)] + []string{"a", "b", "c", "ab"}[random.IntN(4)]
		namespace, collection := splitName(name)
		batch := &store.Batch{}
		switch _, exists := w[name]; {
		case !exists:
			batch.Creates = []store.Create{{Namespace: namespace, Collection: collection}} // it may stay empty
			w[name] = map[string]string{}
		case random.IntN(12) == 0:
			batch.Drops = []store.Ref{{Namespace: namespace, Collection: collection}}
			delete(w, name)
		case random.IntN(4) == 0:
			key := fmt.Sprint("k", random.IntN(20))
			batch.Removes = []store.Remove{{Namespace: namespace, Collection: collection, Key: key}}
			delete(w[name], key)
		default:
			key, value := fmt.Sprint("k", random.IntN(20)), fmt.Sprintf(`"%s"`, strings.Repeat("x", random.IntN(2000)))
			batch.Puts = []store.Put{{Namespace: namespace, Collection: collection, Key: key, Value: []byte(value)}}
			w[name][key] = value
		}
		if _, err := n.Propose(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
}

// point is a backup and what was in the node when it was taken.
type point struct {
	id  string
	num int
	w   world
}

// wish is a random restore and what it should come to.
type wish struct {
	q      RestoreRequest
	after  world
	exists bool // it should be refused because something exists
}

func randomWish(p point, w world, random *rand.Rand, location string) wish {
	q := RestoreRequest{Location: location, BackupID: p.id, BackupNum: p.num, Overwrite: random.IntN(2) == 0}
	held := slices.Sorted(maps.Keys(p.w))
	chosen := held
	some := func() (list []string) {
		for _, name := range held {
			if random.IntN(2) == 0 {
				list = append(list, name)
			}
		}
		return list
	}
	switch list := some(); random.IntN(4) {
	case 0:
		if len(list) > 0 {
			q.Selection.Include, chosen = list, list
		}
	case 1:
		if len(list) > 0 && len(list) < len(held) {
			q.Selection.Exclude = list
			chosen = slices.DeleteFunc(slices.Clone(held), func(name string) bool { return slices.Contains(list, name) })
		}
	case 2:
		inGeo := slices.DeleteFunc(slices.Clone(held), func(name string) bool { return !strings.HasPrefix(name, "geo/") })
		if len(inGeo) > 0 {
			q.Selection.Namespaces, chosen = []string{"geo"}, inGeo
		}
	}
	after, exists := w.clone(), false
	for i, name := range chosen {
		to := name
		if other := fmt.Sprintf("copy/%d-%d", i%6, random.IntN(3)); random.IntN(3) == 0 && i < 6 && !slices.Contains(held, other) {
			to = other
			q.Rename = append(q.Rename, Rename{From: name, To: to})
		}
		if _, there := w[to]; there {
			exists = true
		}
		after[to] = maps.Clone(p.w[name])
	}
	return wish{q, after, exists && !q.Overwrite}
}

// TestRandomRestores compares restores of random parts of random backups, into a
// node that goes on, with a model. At the end a backup of all is restored
// offline: what was restored online is in it.
func TestRandomRestores(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(11, seed))
			n := openNode(t, Options{Dir: t.TempDir()})
			location := t.TempDir()
			w := world{}
			var points []point
			done, refused := 0, 0
			for step := range 60 {
				mutate(t, n, w, random, 1+random.IntN(20))
				if step%3 == 0 || len(points) == 0 {
					result := run(t, n, BackupRequest{Destination: location, ForceFull: random.IntN(6) == 0})
					var made BackupResult
					if err := json.Unmarshal(result.Result, &made); err != nil || result.Status != task.Success {
						t.Fatalf("%+v %v", result, err)
					}
					points = append(points, point{id: made.BackupID, num: made.BackupNum, w: w.clone()})
					continue
				}
				wish := randomWish(points[random.IntN(len(points))], w, random, location)
				before := n.Status().MaxTs
				result, err := load(t, n, wish.q)
				if wish.exists {
					if refused++; !fault.Is(err, fault.Exists) {
						t.Fatalf("step %d: over what exists: %+v, %v", step, result, err)
					}
					if n.Status().MaxTs != before {
						t.Fatalf("step %d: what was refused was a commit", step)
					}
					w.check(t, "after a refusal", worldOf(t, n))
					continue
				}
				if err != nil || result.Status != task.Success {
					t.Fatalf("step %d: %+v: %+v, %v", step, wish.q, result, err)
				}
				done++
				w = wish.after
				w.check(t, fmt.Sprintf("step %d: %+v", step, wish.q), worldOf(t, n))
			}
			if done < 10 || refused < 3 {
				t.Errorf("%d restores, %d refused", done, refused)
			}
			if result := run(t, n, BackupRequest{Destination: location}); result.Status != task.Success {
				t.Fatalf("%+v", result)
			}
			w.check(t, "restored offline", offline(t, location, manifest.Selection{}))
		})
	}
}

// offline restores the newest backup into a directory and reads what is in it.
func offline(t *testing.T, location string, selection manifest.Selection) world {
	t.Helper()
	source, err := (&Node{}).openDestination(t.Context(), location, RestoreRequest{}.Credentials)
	if err != nil {
		t.Fatal(err)
	}
	r := &restore.Restore{Source: source, Dir: t.TempDir(), NewSchema: NewSelectionSchema(selection)}
	if _, err := r.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return worldOf(t, openNode(t, Options{Dir: filepath.Join(r.Dir, "p1")}))
}

func TestRestoreRefusals(t *testing.T) {
	n := openNode(t, Options{Dir: t.TempDir()})
	location := t.TempDir()
	for _, name := range []string{"a", "b", "c"} {
		_, err := n.Propose(t.Context(), &store.Batch{Puts: []store.Put{{Collection: name, Key: "k", Value: []byte("1")}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	run(t, n, BackupRequest{Destination: location})
	if _, err := n.Propose(t.Context(), &store.Batch{Drops: []store.Ref{{Collection: "a"}, {Collection: "c"}}}); err != nil {
		t.Fatal(err)
	}
	before, w := n.Status().MaxTs, worldOf(t, n)
	words := func(list ...string) manifest.Selection { return manifest.Selection{Include: list} }
	for _, test := range []struct {
		q    RestoreRequest
		kind fault.Kind
		text string
	}{
		{RestoreRequest{}, fault.Exists, "restore collection default/b: it exists; nothing was restored"},
		{RestoreRequest{Selection: words("a", "b")}, fault.Exists, "default/b"},
		{RestoreRequest{Selection: words("a", "x")}, fault.NotFound, `include: there is no collection "x"`},
		{RestoreRequest{Selection: manifest.Selection{Include: []string{"a"}, Exclude: []string{"b"}}}, fault.Usage, "include and exclude"},
		{RestoreRequest{Selection: words("a"), Rename: []Rename{{"c", "d"}}}, fault.NotFound, "rename: default/c is not among"},
		{RestoreRequest{Selection: words("a"), Rename: []Rename{{"a", "b"}}}, fault.Exists, "default/b"},
		{RestoreRequest{Selection: words("a", "c"), Rename: []Rename{{"a", "c"}}}, fault.Usage, "would both become default/c"},
		{RestoreRequest{Selection: words("a"), Rename: []Rename{{"a", "d"}, {"default/a", "e"}}}, fault.Usage, "default/a stands twice"},
		{RestoreRequest{Selection: words("a"), Rename: []Rename{{"a", "x*"}}}, fault.Usage, "rename to"},
		{RestoreRequest{Selection: words("a"), Rename: []Rename{{"a", "/x"}}}, fault.Usage, "namespace in front"},
		{RestoreRequest{BackupID: "none"}, fault.NotFound, "no series has backup id"},
		{RestoreRequest{BackupNum: 7}, fault.NotFound, "no backup number 7"},
		{RestoreRequest{BackupNum: -1}, fault.Usage, "backupNum is -1"},
		{RestoreRequest{Until: "yesterday"}, fault.Usage, "until is not a time"},
		{RestoreRequest{Until: "2026-11-20T10:00:00Z", BackupNum: 1}, fault.Usage, "a number and a moment"},
		{RestoreRequest{Until: "2001-01-01T00:00:00Z"}, fault.NotFound, "none was begun at or before 2001-01-01"},
		{RestoreRequest{Keys: KeyRequest{EncryptionKeyFile: "/no/such/key"}}, fault.NotFound, ""},
	} {
		test.q.Location = location
		_, err := load(t, n, test.q)
		if err == nil || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%+v: %v, not %s", test.q, err, test.text)
		}
		if test.text != "" && !fault.Is(err, test.kind) {
			t.Errorf("%+v: kind %v, not %v", test.q, fault.KindOf(err), test.kind)
		}
	}
	if n.Status().MaxTs != before {
		t.Error("what was refused was a commit")
	}
	w.check(t, "after refusals", worldOf(t, n))
}

// A collection that is made after a restore was queued, and before it runs, is
// not touched.
func TestConflictThatComesLater(t *testing.T) {
	n := openNode(t, Options{Dir: t.TempDir()})
	location := t.TempDir()
	put(t, n, "k", "1")
	run(t, n, BackupRequest{Destination: location})
	hold := make(chan struct{})
	_, err := n.tasks.Submit(t.Context(), task.Backup, nil, func(ctx context.Context, _ *backup.Progress) (any, error) {
		<-hold
		return nil, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	id, err := n.SubmitRestore(t.Context(), RestoreRequest{Location: location, Rename: []Rename{{"c", "d"}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Propose(t.Context(), &store.Batch{Puts: []store.Put{{Collection: "d", Key: "mine", Value: []byte("2")}}}); err != nil {
		t.Fatal(err)
	}
	close(hold)
	if result := ended(t, n, id); result.Status != task.Failed || result.ErrorKind != fault.Exists {
		t.Errorf("%+v", result)
	}
	want := world{"default/c": {"k": "1"}, "default/d": {"mine": "2"}}
	want.check(t, "after the conflict", worldOf(t, n))
}

func TestRestoreUntil(t *testing.T) {
	nine := time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
	var hours atomic.Int64 // since nine
	clock := func() time.Time { return nine.Add(time.Duration(hours.Load()) * time.Hour) }
	n := openNode(t, Options{Dir: t.TempDir(), Now: clock})
	location := t.TempDir()
	for i := range 6 { // at 9, 10, … 14 o'clock; from 12 on in a second series
		put(t, n, "hour", fmt.Sprint(clock().Hour()))
		run(t, n, BackupRequest{Destination: location, ForceFull: i == 3})
		hours.Add(1)
	}
	for until, want := range map[string]string{
		"2026-11-20T09:00:00Z": "9", "2026-11-20T10:59:59Z": "10", "2026-11-20T12:00:00+01:00": "11",
		"2026-11-20T12:00:00Z": "12", "2026-11-20T13:30:00Z": "13", "2030-01-01T00:00:00Z": "14",
	} {
		result, err := load(t, n, RestoreRequest{Location: location, Until: until, Rename: []Rename{{"c", "then"}}, Overwrite: true})
		if err != nil || result.Status != task.Success {
			t.Fatalf("until %s: %+v, %v", until, result, err)
		}
		if got := worldOf(t, n)["default/then"]["hour"]; got != want {
			t.Errorf("until %s: it is %s o'clock, not %s", until, got, want)
		}
	}
	_, err := load(t, n, RestoreRequest{Location: location, Until: "2026-11-20T08:59:59Z"})
	if !fault.Is(err, fault.NotFound) || !strings.Contains(fault.HintOf(err), "the oldest there was begun at 2026-11-20T09:00:00Z") {
		t.Errorf("before the first: %v; %s", err, fault.HintOf(err))
	}
}

// TestWritersBesideARestore writes while a restore loads. Every write that is
// acknowledged is there, and in the next backup; writes to what is restored are
// refused.
func TestWritersBesideARestore(t *testing.T) {
	n := openNode(t, Options{Dir: t.TempDir()})
	random := rand.New(rand.NewPCG(1, 9))
	w := world{"default/big": {}}
	for i := range 30 {
		batch := &store.Batch{}
		for j := range 50 {
			key, value := fmt.Sprint(i, "-", j), fmt.Sprintf(`"%x"`, random.Perm(200))
			batch.Puts = append(batch.Puts, store.Put{Collection: "big", Key: key, Value: []byte(value)})
			w["default/big"][key] = value
		}
		if _, err := n.Propose(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	location := t.TempDir()
	run(t, n, BackupRequest{Destination: location})
	id, err := n.SubmitRestore(t.Context(), RestoreRequest{Location: location, Rename: []Rename{{"big", "copy"}}})
	if err != nil {
		t.Fatal(err)
	}
	var writers sync.WaitGroup
	written := make([]map[string]string, 4)
	over := make(chan struct{})
	for i := range written {
		written[i] = map[string]string{}
		writers.Go(func() {
			for k := 0; ; k++ {
				select {
				case <-over:
					return
				default:
				}
				key := fmt.Sprint(k)
				_, err := n.Propose(t.Context(), &store.Batch{Puts: []store.Put{{Namespace: "writer", Collection: fmt.Sprint(i), Key: key, Value: []byte("1")}}})
				if err != nil {
					t.Error(err)
					return
				}
				written[i][key] = "1"
				if _, err := n.Propose(t.Context(), &store.Batch{Removes: []store.Remove{{Collection: "copy", Key: "0-0"}}}); err == nil {
					// It was made ready before this, so it is past the phase of loading.
					if now, err := n.Task(id); err != nil || now.Phase == PhaseRestoreCatalog || now.Phase == PhaseRestoreLoad {
						t.Error("a record of what is being restored was removed")
					}
					return
				}
			}
		})
	}
	if done := ended(t, n, id); done.Status != task.Success {
		t.Errorf("%+v", done)
	}
	close(over)
	writers.Wait()
	w["default/copy"] = maps.Clone(w["default/big"])
	if _, err := n.Propose(t.Context(), &store.Batch{Removes: []store.Remove{{Collection: "copy", Key: "0-0"}}}); err != nil {
		t.Fatal(err)
	}
	delete(w["default/copy"], "0-0")
	for i, records := range written {
		if len(records) > 0 {
			w[fmt.Sprint("writer/", i)] = records
		}
	}
	w.check(t, "after the restore", worldOf(t, n))
	run(t, n, BackupRequest{Destination: location})
	w.check(t, "restored from the next backup", offline(t, location, manifest.Selection{}))
}
