package worker

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
	"github.com/brockdb/brock/restore"
	"github.com/brockdb/brock/worker/store"
	"github.com/brockdb/brock/worker/task"
)

// chosenBy is a second opinion about what a selection chooses, of qualified
// words only.
func chosenBy(s manifest.Selection, names []string) (chosen []string) {
	fits := func(words []string, name string) bool {
		return slices.ContainsFunc(words, func(word string) bool {
			ok, err := path.Match(word, name)
			return ok && err == nil
		})
	}
	for _, name := range names {
		namespace, _ := splitName(name)
		if (len(s.Include) == 0 || fits(s.Include, name)) && !fits(s.Exclude, name) &&
			(len(s.Namespaces) == 0 || slices.Contains(s.Namespaces, namespace)) {
			chosen = append(chosen, name)
		}
	}
	return chosen
}

func (w world) only(names []string) world {
	part := world{}
	for _, name := range names {
		part[name] = maps.Clone(w[name])
	}
	return part
}

func backupResult(t *testing.T, n *Node, q BackupRequest) BackupResult {
	t.Helper()
	done := run(t, n, q)
	var made BackupResult
	if err := json.Unmarshal(done.Result, &made); err != nil || done.Status != task.Success {
		t.Fatalf("%+v, %v", done, err)
	}
	return made
}

// TestPartialBackups makes a series of a selection while the database changes.
// What is restored of it, offline and online, is what the selection chooses, and
// nothing else.
func TestPartialBackups(t *testing.T) {
	for i, selection := range []manifest.Selection{
		{Include: []string{"geo/*"}},
		{Exclude: []string{"geo/a", "default/a*"}},
		{Namespaces: []string{"default"}, Exclude: []string{"default/b"}},
	} {
		t.Run(selection.String(), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(5, uint64(i)))
			n := openNode(t, Options{Dir: t.TempDir()})
			location := t.TempDir()
			w := world{}
			mutate(t, n, w, random, 200)
			for _, name := range []string{"default/a", "default/b", "default/keep", "geo/a", "geo/keep"} {
				keep(t, n, w, name)
			}
			backups := 0
			for range 8 {
				mutate(t, n, w, random, 30)
				for _, name := range []string{"default/a", "default/b", "geo/a"} { // words without * name what is there
					keep(t, n, w, name)
				}
				made := backupResult(t, n, BackupRequest{Destination: location, Selection: selection})
				if backups++; made.BackupNum != backups {
					t.Fatalf("backup %d has number %d", backups, made.BackupNum)
				}
				want := w.only(chosenBy(selection, slices.Sorted(maps.Keys(w))))
				want.check(t, "offline", offline(t, location, manifest.Selection{}))
			}
			chosen := chosenBy(selection, slices.Sorted(maps.Keys(w)))
			checkPartialManifests(t, n, location, selection, chosen)

			fresh := openNode(t, Options{Dir: t.TempDir()})
			result, err := load(t, fresh, RestoreRequest{Location: location})
			if err != nil || result.Status != task.Success || !strings.Contains(string(result.Result), `"partial":true`) {
				t.Fatalf("%+v, %v", result, err)
			}
			w.only(chosen).check(t, "online", worldOf(t, fresh))
			w.only(chosen[:1]).check(t, "a part of the part", offline(t, location, manifest.Selection{Include: chosen[:1]}))
		})
	}
}

// keep makes sure that a collection exists.
func keep(t *testing.T, n *Node, w world, name string) {
	t.Helper()
	if _, there := w[name]; there {
		return
	}
	namespace, collection := splitName(name)
	if _, err := n.Propose(t.Context(), &store.Batch{Creates: []store.Create{{Namespace: namespace, Collection: collection}}}); err != nil {
		t.Fatal(err)
	}
	w[name] = map[string]string{}
}

func checkPartialManifests(t *testing.T, n *Node, location string, selection manifest.Selection, chosen []string) {
	t.Helper()
	listed, err := n.ListBackups(t.Context(), ListRequest{Location: location})
	if err != nil || len(listed.Damaged) != 0 {
		t.Fatal(listed, err)
	}
	newest := listed.Manifests[len(listed.Manifests)-1]
	var names []string
	for _, c := range newest.Groups[1].Collections {
		names = append(names, c.Namespace+"/"+c.Name)
	}
	if !newest.Partial || !newest.Selection.Same(selection) || !slices.Equal(names, chosen) {
		t.Errorf("the manifest says partial %v, %s, %v", newest.Partial, newest.Selection, names)
	}
	source, err := n.openDestination(t.Context(), location, RestoreRequest{}.Credentials)
	if err != nil {
		t.Fatal(err)
	}
	v := &restore.Verify{Source: source, Level: restore.Rehearse, Scratch: t.TempDir(), NewSchema: NewRestoreSchema}
	if report, err := v.Run(t.Context()); err != nil || !report.Good {
		t.Errorf("%+v, %v", report, err)
	}
}

func TestSelectionsMakeSeriesOfTheirOwn(t *testing.T) {
	n := openNode(t, Options{Dir: t.TempDir()})
	w := world{}
	for _, name := range []string{"default/a", "default/b", "geo/a"} {
		keep(t, n, w, name)
	}
	location := t.TempDir()
	only := func(words ...string) BackupRequest {
		return BackupRequest{Destination: location, Selection: manifest.Selection{Include: words}}
	}
	var last BackupResult
	for i, step := range []struct {
		q      BackupRequest
		num    int
		reason string
	}{
		{only(), 1, "there was no backup at this destination"},
		{only(), 2, ""},
		{only("a", "b"), 1, "the newest series there is of another selection (all collections; this backup: include a, b)"},
		{only("b", "a"), 2, ""},
		{only("b"), 1, "the newest series there is of another selection (include b, a; this backup: include b)"},
		{only(), 1, "the newest series there is of another selection (include b; this backup: all collections)"},
		{only(), 2, ""},
	} {
		made := backupResult(t, n, step.q)
		listed, err := n.ListBackups(t.Context(), ListRequest{Location: location})
		if err != nil {
			t.Fatal(err)
		}
		m := listed.Manifests[len(listed.Manifests)-1]
		if made.BackupNum != step.num || m.Path != made.Path || m.Reason != step.reason || (made.BackupID == last.BackupID) != (step.num == 2) {
			t.Errorf("backup %d: %+v, reason %q", i, made, m.Reason)
		}
		last = made
	}
	for word, text := range map[string]string{"atlantis": `there is no collection "atlantis"`, "x/y/z": "characters", "z*": "no collection is left"} {
		_, err := n.SubmitBackup(t.Context(), only(word))
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", word, err)
		}
	}
	// A collection that the catalog names and the partial backup does not hold.
	partial := backupResult(t, n, only("a"))
	_, err := n.SubmitRestore(t.Context(), RestoreRequest{Location: location, BackupID: partial.BackupID,
		Selection: manifest.Selection{Include: []string{"geo/a"}}, Rename: []Rename{{"geo/a", "x"}}})
	if !fault.Is(err, fault.NotFound) || !strings.Contains(err.Error(), "the backup is partial (include a)") {
		t.Errorf("%v", err)
	}
}

// TestOnlyWhatIsChosenIsRead restores a small collection out of a large backup.
func TestOnlyWhatIsChosenIsRead(t *testing.T) {
	n := openNode(t, Options{Dir: t.TempDir()})
	random := rand.New(rand.NewPCG(1, 1))
	for i := range 40 {
		batch := &store.Batch{}
		for j := range 40 {
			value := make([]byte, 4<<10)
			for k := range value {
				value[k] = 'a' + byte(random.IntN(26))
			}
			batch.Puts = append(batch.Puts, store.Put{Collection: fmt.Sprint("c", i), Key: fmt.Sprint(j), Value: fmt.Appendf(nil, "%q", value)})
		}
		if _, err := n.Propose(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	location := t.TempDir()
	run(t, n, BackupRequest{Destination: location})
	result, err := load(t, n, RestoreRequest{Location: location,
		Selection: manifest.Selection{Include: []string{"c20"}}, Rename: []Rename{{"c20", "copy"}}})
	if err != nil || result.Status != task.Success {
		t.Fatalf("%+v, %v", result, err)
	}
	const all, chunk = 40 * 40 * 4 << 10, 2 << 20
	if read := result.Progress.RawBytes; read > 2*chunk+chunk/2 || read > all/2 || read < 40*4<<10 {
		t.Errorf("%d of %d bytes were read", read, all)
	}
	if v := worldOf(t, n); !maps.Equal(v["default/copy"], v["default/c20"]) || len(v["default/copy"]) != 40 {
		t.Error("the copy is not the same")
	}
}
