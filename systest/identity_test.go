package systest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestSecondGeneration backs up what was restored, to the same destination: the
// restored database is another one, begins a series of its own there, and its
// backups restore as well.
func TestSecondGeneration(t *testing.T) {
	t.Parallel()
	d := newDamageable(t, 16)
	key := []string{"--encryption_key_file", d.key}
	m := d.models[1].clone()
	into := ref{"default", "c"}
	first := startAlpha(t, restoreBackup(t, d.dir, d.id, 2, key...).dir, key...)
	if _, err := first.submit(t, d.dir, false); err == nil || !strings.Contains(err.Error(), "it is of another database") {
		t.Errorf("a restored database goes on with the series of the old one: %v", err)
	}
	made := first.backup(t, d.dir, true)
	full := m.clone()
	first.remove(t, m, into, "0")
	first.store(t, m, into, putRecord{"1", []byte(`"changed"`)}, putRecord{Value: []byte(`"new"`)})
	next := first.backup(t, d.dir, false)
	first.stop(t)
	if made.BackupID == d.id || next.BackupID != made.BackupID || next.BackupNum != 2 {
		t.Errorf("the backups are %+v and %+v", made, next)
	}
	for num, want := range map[int]model{1: full, 2: m} {
		second := startAlpha(t, restoreBackup(t, d.dir, made.BackupID, num, key...).dir, key...)
		second.check(t, want, fmt.Sprint("second generation, backup ", num))
		second.stop(t)
	}
	good(t, append([]string{"verify", "-l", d.dir, "--level", "restore"}, key...)...)
}

// TestCopiedDatabase lets two copies of one database write and back up by turns.
// Neither may take the other's backups for its own.
func TestCopiedDatabase(t *testing.T) {
	t.Parallel()
	into := ref{"default", "c"}
	destination := t.TempDir()
	m := model{}
	a := startAlpha(t, t.TempDir())
	a.store(t, m, into, putRecord{"both", []byte(`0`)}, putRecord{"gone", []byte(`0`)})
	a.backup(t, destination, false)
	a.stop(t)
	copied := copyDir(t, a.dir)
	dirs := []string{a.dir, copied}
	models := []model{m, m.clone()}
	h := &history{destination: destination, points: map[string]model{}, model: m}
	h.see(t)
	for turn, who := range []int{0, 1, 0, 0, 1, 1} {
		a := startAlpha(t, dirs[who])
		if turn == 0 {
			a.remove(t, models[who], into, "gone")
		}
		value := fmt.Appendf(nil, `"copy %d, turn %d"`, who, turn)
		a.store(t, models[who], into, putRecord{"both", value}, putRecord{Value: value})
		made := a.backup(t, destination, false)
		reason := manifestOf(t, destination, made).Reason
		taken := made.BackupNum > 1
		if wantTaken := turn == 0 || turn == 3 || turn == 5; taken != wantTaken {
			t.Errorf("turn %d: the backup is number %d (%s)", turn, made.BackupNum, reason)
		}
		h.model = models[who]
		h.see(t)
		a.stop(t)
	}
	h.restore(t, []int{1, 2, 4, 6})
}

// TestMovedDestination moves, copies and empties a destination between backups.
func TestMovedDestination(t *testing.T) {
	t.Parallel()
	h := &history{destination: filepath.Join(t.TempDir(), "old"), model: model{}, points: map[string]model{}}
	a := startAlpha(t, t.TempDir())
	forced := false
	backup := func(what string, num uint64) {
		t.Helper()
		a.store(t, h.model, bankRef, putRecord{Value: []byte(`"` + what + `"`)})
		if made := a.backup(t, h.destination, forced); made.BackupNum != num {
			t.Errorf("the backup %s is number %d, want %d", what, made.BackupNum, num)
		}
		h.see(t)
	}
	backup("to a new place", 1)
	moved := filepath.Join(t.TempDir(), "new")
	if err := os.Rename(h.destination, moved); err != nil {
		t.Fatal(err)
	}
	h.destination = moved
	backup("to where it was moved", 2)
	older := copyDir(t, moved)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(moved, link); err != nil {
		t.Fatal(err)
	}
	h.destination = link
	backup("through a link", 3)
	h.destination = older
	backup("to an older copy", 1)
	h.restore(t, []int{3})
	removeAll(t, older, tops(t, older)...)
	forced = true // not by itself: TestUnmountedDestination
	backup("to where all was removed", 1)
	h.destination, h.order = moved, h.order[:3]
	h.restore(t, []int{1, 2})
	a.stop(t)
}

// tops returns the names in a directory.
func tops(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestOldPin lets a series get older than deletes are kept for it: the next
// backup is a full, and says why.
func TestOldPin(t *testing.T) {
	t.Parallel()
	const age = 300 * time.Millisecond
	h := &history{destination: t.TempDir(), model: model{}, points: map[string]model{}}
	a := startAlpha(t, t.TempDir(), "--pin_max_age", age.String())
	a.store(t, h.model, bankRef, putRecord{"k", []byte(`1`)}, putRecord{"l", []byte(`1`)})
	a.backup(t, h.destination, false)
	h.see(t)
	time.Sleep(2 * age) // an alpha has no other clock
	a.remove(t, h.model, bankRef, "k")
	made := manifestOf(t, h.destination, a.backup(t, h.destination, false))
	h.see(t)
	if made.Type != "full" || made.Reason == "" {
		t.Errorf("the backup is %s, with the reason %q", made.Type, made.Reason)
	}
	t.Log(made.Reason)
	a.stop(t)
	h.restore(t, []int{0, 1})
}
