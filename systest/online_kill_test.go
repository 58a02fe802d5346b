package systest

import (
	"testing"
	"time"
)

// TestRestoreIsKilledAtItsCommits kills alphas right after the first and right
// after the last commit of an online restore, or somewhere between: what it
// restores is there as a whole, or not at all.
func TestRestoreIsKilledAtItsCommits(t *testing.T) {
	t.Parallel()
	r := newRestorable(t, t.TempDir())
	whole, nothing := 0, 0
	for round := range 6 {
		id, err := r.submitRestore(t, r.location, everyC)
		if err != nil {
			t.Fatal(err)
		}
		for began := time.Now(); time.Since(began) < processDeadline; {
			state := r.states(t)["geo/c0"] // without a pause: the moment after it is short
			if state == "READY" || state == "RESTORING" && round%2 == 0 {
				break
			}
		}
		r.kill(t)
		r.alpha = r.again(t)
		ended := r.await(t, id, task.over)
		if _, there := r.states(t)["geo/c0"]; !there {
			nothing++
			r.check(t, r.now, "killed before the end")
			if ended.Status != "Failed" || ended.Message != messageDied {
				t.Errorf("the task ended as %+v", ended)
			}
			continue
		}
		whole++
		r.check(t, r.then, "killed after the last commit")
		for of := range r.then {
			if r.now[of] == nil {
				r.drop(t, r.then.clone(), of)
			}
		}
		for of, c := range r.now { // as it was before, for the next round
			if len(c.records) > 0 {
				r.load(t, r.now, of, c.records)
			}
		}
		for of, c := range r.then {
			for key := range c.records {
				if now := r.now[of]; now != nil && now.records[key] == "" {
					r.remove(t, model{of: c.clone()}, of, key)
				}
			}
		}
		r.check(t, r.now, "before the next round")
	}
	if whole == 0 {
		t.Error("no restore came to its end")
	}
	t.Logf("%d restores were there as a whole, %d not at all", whole, nothing)
	r.stop(t)
}
