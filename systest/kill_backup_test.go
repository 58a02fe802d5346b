package systest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/brockdb/brock/backup/manifest"
)

const messageDied = "the alpha process died (or was stopped) while this task was running"

// TestKilledBackup kills an alpha with SIGKILL at random moments of a backup.
// What is at the destination then is all sound, the task says what happened,
// and the next backup removes what was left behind.
func TestKilledBackup(t *testing.T) {
	t.Parallel()
	random := newRandom(t)
	destination := t.TempDir()
	a := startAlpha(t, t.TempDir(), "--encryption_key_file", keyFile(t, 16))
	h := &history{destination: destination, model: model{}, points: map[string]model{}}
	a.load(t, h.model, ballastRef, ballast(ballastKB))
	began := time.Now()
	a.backup(t, destination, false)
	usual := time.Since(began)
	h.see(t)

	debris := 0
	const rounds = 5
	for round := range rounds {
		a.store(t, h.model, bankRef, putRecord{fmt.Sprint(round), json.RawMessage(`"before"`)})
		id, err := a.submit(t, destination, true)
		if err != nil {
			t.Fatal(err)
		}
		a.await(t, id, func(got task) bool { return got.Status != "Queued" })
		time.Sleep(within(random, usual, round, rounds)) // the moment is what the test is about
		a.kill(t)
		h.see(t)
		debris += len(unfinished(t, destination))

		a = a.again(t)
		ended := a.await(t, id, task.over)
		switch {
		case ended.Status == "Success" && h.points[ended.Path] != nil: // before the kill
		case ended.Status == "Failed" && ended.Message == messageDied && ended.FinishedAt != nil:
		default:
			t.Errorf("the task ended as %+v, want Failed: %s", ended, messageDied)
		}
		a.check(t, h.model, "after the kill")
		a.remove(t, h.model, ballastRef, h.model.someKeys(ballastRef, 20)...)
		a.store(t, h.model, bankRef, putRecord{fmt.Sprint(round), json.RawMessage(`"after"`)})
		a.backup(t, destination, random.IntN(2) == 0)
		h.see(t)
		if left := unfinished(t, destination); len(left) > 0 {
			t.Errorf("the next backup has left %q", left)
		}
	}
	a.stop(t)
	if debris == 0 {
		t.Error("no kill has left anything behind, so nothing was shown")
	}
	last := len(h.order) - 1
	h.restore(t, []int{last / 2, last - 1, last}, a.args...)
}

// TestKilledAtCommit kills an alpha in the last steps of a backup: when its part
// list is there, and when its manifest is, which the database may not have been
// told yet. The series goes on, and no delete is lost on the way.
func TestKilledAtCommit(t *testing.T) {
	t.Parallel()
	h := &history{destination: t.TempDir(), model: model{}, points: map[string]model{}}
	a := startAlpha(t, t.TempDir())
	for i := range 40 {
		a.store(t, h.model, bankRef, putRecord{fmt.Sprintf("key %02d", i), json.RawMessage(`"old"`)})
	}
	a.backup(t, h.destination, false)
	h.see(t)
	for round := range 6 {
		a.remove(t, h.model, bankRef, h.model.someKeys(bankRef, 3)...)
		a.store(t, h.model, bankRef, putRecord{"last", fmt.Appendf(nil, "%d", round)})
		pattern := filepath.Join(h.destination, "brock.[0-9]*", []string{"*.parts", "manifest.json"}[round%2])
		before := count(t, pattern)
		if _, err := a.submit(t, h.destination, false); err != nil {
			t.Fatal(err)
		}
		for began := time.Now(); count(t, pattern) == before && time.Since(began) < processDeadline; {
			continue // without a pause: the moment after it is short
		}
		a.kill(t)
		h.see(t)
		a = a.again(t)
		a.remove(t, h.model, bankRef, h.model.someKeys(bankRef, 1)...)
		if made := a.backup(t, h.destination, false); made.BackupNum < 2 {
			t.Errorf("the series does not go on: %s", manifestOf(t, h.destination, made).Reason)
		}
		h.see(t)
	}
	a.stop(t)
	if left := unfinished(t, h.destination); len(left) > 0 {
		t.Errorf("there is left %q", left)
	}
	last := len(h.order) - 1
	h.restore(t, []int{last / 2, last - 1, last})
}

func count(t *testing.T, pattern string) int {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return len(found)
}

// history is what the backups at a destination must hold, when nothing was
// written while one ran.
type history struct {
	destination string
	model       model
	points      map[string]model // by folder
	order       []string         // folders
}

// see takes down the backups that are new: they hold what the model holds now, or
// held when they were cut off before they went on.
func (h *history) see(t *testing.T) {
	t.Helper()
	for _, m := range list(t, h.destination) {
		if h.points[m.Path] == nil {
			h.points[m.Path] = h.model.clone()
		}
		if !slices.Contains(h.order, m.Path) {
			h.order = append(h.order, m.Path)
		}
	}
	for _, left := range unfinished(t, h.destination) {
		if folder := filepath.Base(left); h.points[folder] == nil {
			h.points[folder] = h.model.clone()
		}
	}
}

// restore proves every byte at the destination, and restores some of the backups
// and compares them.
func (h *history) restore(t *testing.T, some []int, key ...string) {
	t.Helper()
	good(t, append([]string{"verify", "-l", h.destination, "--level", "full"}, key...)...)
	all := list(t, h.destination)
	for _, i := range some {
		at := slices.IndexFunc(all, func(m manifest.Manifest) bool { return m.Path == h.order[i] })
		if at < 0 {
			t.Fatalf("backup %s is not listed any more", h.order[i])
		}
		a := startAlpha(t, restoreBackup(t, h.destination, all[at].BackupID, all[at].BackupNum, key...).dir, key...)
		a.check(t, h.points[h.order[i]], "restore of "+h.order[i])
		a.stop(t)
	}
}

// unfinished returns what dead writers have left at a destination.
func unfinished(t *testing.T, destination string) (left []string) {
	t.Helper()
	folders, err := filepath.Glob(filepath.Join(destination, "brock.[0-9]*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range folders {
		if _, err := os.Stat(filepath.Join(folder, "manifest.json")); err != nil {
			left = append(left, folder)
		}
	}
	for _, path := range files(t, destination) {
		if strings.HasPrefix(filepath.Base(path), ".tmp-") || strings.Contains(path, "brock.probe-") {
			left = append(left, path)
		}
	}
	return left
}
