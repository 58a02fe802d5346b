package systest

import (
	"fmt"
	"testing"
	"time"

	"github.com/brockdb/brock/systest/faultfs"
)

// slowDown makes a destination so slow that a task can be caught in each phase.
func slowDown(f *faultfs.FS) {
	for _, op := range []faultfs.Op{faultfs.Open, faultfs.Create} {
		f.Delay(op, 150*time.Millisecond)
	}
}

// catch waits until a task is in a phase. It ends the test when the task is over
// before it was seen there.
func (a *alpha) catch(t *testing.T, id, phase string) {
	t.Helper()
	got := a.await(t, id, func(got task) bool { return got.over() || got.Status == "Running" && got.Phase == phase })
	if got.over() {
		t.Fatalf("it was never seen in phase %s: %+v", phase, got)
	}
}

// TestRestoreIsStoppedInEveryPhase cancels and kills online restores in the
// phases that wait for the destination, and when the first collection is there:
// each time, all is as it was. (Package store fails every commit of a restoration,
// which is what the other phases are.)
func TestRestoreIsStoppedInEveryPhase(t *testing.T) {
	t.Parallel()
	f := faultfs.Mount(t)
	r := newRestorable(t, f.Dir)
	for _, phase := range []string{"plan", "load"} {
		for _, kill := range []bool{false, true} {
			what := fmt.Sprintf("phase %s, killed: %v", phase, kill)
			f.Heal()
			slowDown(f)
			id, err := r.submitRestore(t, r.location, everyC)
			if err != nil {
				t.Fatal(err)
			}
			r.catch(t, id, phase)
			if states := r.states(t); phase == "load" && (states["geo/c0"] != "RESTORING" || states["geo/c1"] != "READY") {
				t.Errorf("%s: the collections are %v", what, states)
			}
			if !kill {
				r.cancel(t, id)
				if done := r.await(t, id, task.over); done.Status != "Canceled" || done.Phase != phase {
					t.Errorf("%s: it ended as %+v", what, done)
				}
			} else {
				r.kill(t)
				f.Heal()
				r.alpha = r.again(t)
				if done := r.await(t, id, task.over); done.Status != "Failed" || done.Message != messageDied {
					t.Errorf("%s: it ended as %+v", what, done)
				}
			}
			r.check(t, r.now, what)
		}
	}
	f.Heal()
	r.restoreOnline(t, r.location, everyC)
	r.check(t, r.then, "the restore after all")
	r.stop(t)
}

// TestBackupIsCanceledInEveryPhase cancels backups in the phases that wait for the
// destination: nothing of them is left there, and the next one is good.
func TestBackupIsCanceledInEveryPhase(t *testing.T) {
	t.Parallel()
	f := faultfs.Mount(t)
	a := startAlpha(t, t.TempDir())
	h := &history{destination: f.Dir, model: model{}, points: map[string]model{}}
	a.store(t, h.model, bankRef, putRecord{"k", []byte("1")})
	a.backup(t, f.Dir, false)
	h.see(t)
	for _, phase := range []string{"lock", "scan", "commit"} {
		a.store(t, h.model, bankRef, putRecord{phase, []byte("1")})
		slowDown(f)
		id, err := a.submit(t, f.Dir, false)
		if err != nil {
			t.Fatal(err)
		}
		a.catch(t, id, phase)
		a.cancel(t, id)
		done := a.await(t, id, task.over)
		f.Heal()
		if done.Status != "Canceled" {
			t.Errorf("canceled in phase %s, it ended as %+v", phase, done)
		}
		if left := unfinished(t, f.Dir); len(left) > 0 || len(list(t, f.Dir)) != len(h.order) {
			t.Errorf("canceled in phase %s: there is left %q", phase, left)
		}
		a.store(t, h.model, bankRef, putRecord{phase, []byte("2")})
		a.backup(t, f.Dir, false)
		h.see(t)
	}
	a.stop(t)
	h.restore(t, []int{len(h.order) - 1})
}
