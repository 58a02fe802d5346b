package systest

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/brockdb/brock/backup/fault"
)

// ask is the input of a restore, without its location.
type ask map[string]any

// submitRestore queues an online restore and returns the task's id.
func (a *alpha) submitRestore(t *testing.T, location string, input ask) (string, error) {
	t.Helper()
	var answer struct {
		Restore struct{ Code, Message, TaskID string }
	}
	all := ask{"location": location}
	for name, value := range input {
		all[name] = value
	}
	err := a.Admin(t.Context(), `mutation($input: RestoreInput!) { restore(input: $input) { code message taskId } }`,
		map[string]any{"input": all}, &answer)
	if err != nil {
		return "", err
	}
	id := answer.Restore.TaskID
	if answer.Restore.Code != "Success" || answer.Restore.Message != "Restore operation started with ID "+id {
		t.Errorf("the answer to restore is %+v", answer.Restore)
	}
	return id, nil
}

// restoreOnline restores, which must succeed.
func (a *alpha) restoreOnline(t *testing.T, location string, input ask) {
	t.Helper()
	id, err := a.submitRestore(t, location, input)
	if err != nil {
		t.Fatal(err)
	}
	if done := a.await(t, id, task.over); done.Status != "Success" || done.Kind != "Restore" || done.Phase != "done" {
		t.Fatalf("the restore ended as %+v", done)
	}
}

// cancel asks for a task to be stopped.
func (a *alpha) cancel(t *testing.T, id string) {
	t.Helper()
	var answer struct {
		CancelTask struct{ Response struct{ Code string } }
	}
	err := a.Admin(t.Context(), `mutation($id: String!) { cancelTask(input: {id: $id}) { response { message code } } }`,
		map[string]any{"id": id}, &answer)
	if err != nil || answer.CancelTask.Response.Code != "Success" {
		t.Errorf("the answer to cancelTask is %+v, %v", answer, err)
	}
}

// states returns the states of the collections of an alpha, by name.
func (a *alpha) states(t *testing.T) map[string]string {
	t.Helper()
	var answer struct {
		Collections []struct{ Namespace, Name, State string }
	}
	if err := a.Data(t.Context(), `{ collections(namespace: "*") { namespace name state } }`, nil, &answer); err != nil {
		t.Fatal(err)
	}
	states := make(map[string]string)
	for _, c := range answer.Collections {
		states[c.Namespace+"/"+c.Name] = c.State
	}
	return states
}

// restorable is an alpha with a backup of collections that are not next to each
// other, and what it holds after half of them were dropped and the others changed.
type restorable struct {
	*alpha
	location string
	now      model
	then     model // what a restore of c* with overwrite makes of it
}

const restorableCollections = 8

func newRestorable(t *testing.T, location string, args ...string) *restorable {
	t.Helper()
	r := &restorable{alpha: startAlpha(t, t.TempDir(), args...), location: location, now: model{}}
	for i := range restorableCollections {
		c := ref{"geo", fmt.Sprint("c", i)}
		r.create(t, r.now, c, `{"n":1}`)
		var list []putRecord
		for j := range 30 * (i % 3) { // some stay empty
			list = append(list, putRecord{fmt.Sprint("k", j), fmt.Appendf(nil, `"%s"`, strings.Repeat("then ", 20+j))})
		}
		if len(list) > 0 {
			r.store(t, r.now, c, list...)
		}
		r.store(t, r.now, ref{"geo", fmt.Sprint("other", i)}, putRecord{"k", json.RawMessage("1")})
	}
	r.backup(t, location, false)
	then := r.now.clone()
	for i := range restorableCollections {
		c := ref{"geo", fmt.Sprint("c", i)}
		if i%2 == 0 {
			r.drop(t, r.now, c)
		} else {
			r.store(t, r.now, c, putRecord{"k1", json.RawMessage(`"now"`)}, putRecord{"new", json.RawMessage(`"now"`)})
		}
		r.store(t, r.now, ref{"geo", fmt.Sprint("other", i)}, putRecord{"k", json.RawMessage("2")})
	}
	r.then = r.now.clone()
	for of, c := range then {
		if strings.HasPrefix(of.name, "c") {
			r.then[of] = c
		}
	}
	return r
}

var everyC = ask{"include": []string{"geo/c*"}, "overwrite": true}

// TestOnlineRestore restores parts of an encrypted backup into the alpha that
// made it, in every way that can be asked for, and proves by an offline restore
// that the next incremental backup holds what was restored.
func TestOnlineRestore(t *testing.T) {
	t.Parallel()
	key := keyFile(t, 32)
	r := newRestorable(t, t.TempDir(), "--encryption_key_file", key)
	whole := r.then[ref{"geo", "c2"}]
	restore := func(input ask) {
		t.Helper()
		r.restoreOnline(t, r.location, input)
	}

	restore(ask{"include": []string{"geo/c2"}})
	r.now[ref{"geo", "c2"}] = whole.clone()
	r.check(t, r.now, "one that was dropped")

	restore(ask{"namespaces": []string{"geo"}, "include": []string{"c2", "c5"}, "rename": []ask{{"from": "geo/c2", "to": "copies/x"}, {"from": "geo/c5", "to": "y"}}})
	r.now[ref{"copies", "x"}] = whole.clone()
	r.now[ref{"default", "y"}] = r.then[ref{"geo", "c5"}].clone()
	r.check(t, r.now, "under other names")

	_, err := r.submitRestore(t, r.location, ask{"include": []string{"geo/c0", "geo/c5", "geo/c6"}})
	wantRefusal(t, err, fault.Exists, "geo/c5: it exists; nothing was restored", "overwrite: true")
	_, err = r.submitRestore(t, r.location, ask{"exclude": []string{"geo/other*", "geo/nothing"}})
	wantRefusal(t, err, fault.NotFound, `there is no collection "geo/nothing"`, "")
	_, err = r.submitRestore(t, r.location, ask{"encryptionKeyFile": keyFile(t, 16)})
	wantRefusal(t, err, fault.WrongKey, "is needed", "")
	_, err = r.submitRestore(t, r.location, ask{"isPartial": true})
	wantRefusal(t, err, fault.Usage, "isPartial", "leave isPartial out")
	_, err = r.submitRestore(t, r.location, ask{"incrementalFrom": 2})
	wantRefusal(t, err, fault.Usage, "incrementalFrom is 2", "leave incrementalFrom out")
	r.check(t, r.now, "after what was refused")

	restore(ask{"include": []string{"geo/c*"}, "overwrite": true, "encryptionKeyFile": key, "backupNum": 1})
	for of, c := range r.then {
		if strings.HasPrefix(of.name, "c") {
			r.now[of] = c.clone()
		}
	}
	r.check(t, r.now, "over what exists")
	for name, state := range r.states(t) {
		if state != "READY" {
			t.Errorf("%s is %s", name, state)
		}
	}
	_, keys := r.store(t, r.now, ref{"default", "uids"}, putRecord{Value: json.RawMessage("true")})
	if len(keys) != 1 {
		t.Errorf("%q", keys)
	}

	made := r.backup(t, r.location, false)
	if m := manifestOf(t, r.location, made); m.Type != "incremental" {
		t.Errorf("the backup after it is %s: %s", m.Type, m.Reason)
	}
	catalog := r.check(t, r.now, "after the backup")
	r.stop(t)
	offline := startAlpha(t, restoreBackup(t, r.location, made.BackupID, int(made.BackupNum), "--encryption_key_file", key).dir)
	wantCatalog(t, "restored offline", offline.check(t, r.now, "restored offline"), catalog)
	offline.stop(t)
}

func (c *collection) clone() *collection {
	copied := model{ref{}: c}.clone()
	return copied[ref{}]
}

// TestRestoreOfAPart restores parts of a backup with the command, by names and
// by time, and of a partial backup what it holds.
func TestRestoreOfAPart(t *testing.T) {
	t.Parallel()
	r := newRestorable(t, t.TempDir())
	moment := time.Now().UTC()
	time.Sleep(5 * time.Millisecond) // backups are dated in milliseconds
	r.backup(t, r.location, true)
	partial := t.TempDir()
	var queued struct{ Backup struct{ TaskID string } }
	err := r.Admin(t.Context(), `mutation($to: String!) { backup(input: {destination: $to, namespaces: ["geo"], exclude: ["c*", "other0"]}) { taskId } }`,
		map[string]any{"to": partial}, &queued)
	if err != nil {
		t.Fatal(err)
	}
	if done := r.await(t, queued.Backup.TaskID, task.over); done.Status != "Success" {
		t.Fatalf("%+v", done)
	}
	old := r.then.clone()
	for i := range restorableCollections { // as they were at the moment
		old[ref{"geo", fmt.Sprint("other", i)}].records["k"] = "1"
	}
	restored := func(from string, args ...string) *alpha {
		t.Helper()
		dir := t.TempDir()
		good(t, append([]string{"restore", "-l", from, "-p", dir, "--force_zero=false"}, args...)...)
		return startAlpha(t, dir+"/p1")
	}
	part := func(of model, keep func(ref) bool) model {
		m := model{}
		for name, c := range of {
			if keep(name) {
				m[name] = c
			}
		}
		return m
	}
	until := moment.Format(time.RFC3339Nano)
	a := restored(r.location, "--until", until, "--include", "geo/c1,geo/other*")
	a.check(t, part(old, func(of ref) bool { return of.name == "c1" || strings.HasPrefix(of.name, "other") }), "included at a moment")
	a.stop(t)
	a = restored(r.location, "--namespaces", "geo", "--exclude", "c*")
	a.check(t, part(r.now, func(of ref) bool { return !strings.HasPrefix(of.name, "c") }), "without the excluded")
	a.stop(t)
	a = restored(partial)
	a.check(t, part(r.now, func(of ref) bool { return !strings.HasPrefix(of.name, "c") && of.name != "other0" }), "of a partial backup")
	a.stop(t)

	brock(t, "restore", "-l", partial, "-p", t.TempDir(), "--force_zero=false", "--dry_run").expect(t, exitGood)
	brock(t, "restore", "-l", partial, "-p", t.TempDir(), "--force_zero=false", "--include", "geo/c1").
		expect(t, exitError, "the backup is partial (exclude c*, other0; namespaces geo)")
	brock(t, "restore", "-l", r.location, "-p", t.TempDir(), "--force_zero=false", "--include", "atlantis").
		expect(t, exitError, `there is no collection "atlantis"`)
	brock(t, "restore", "-l", r.location, "-p", t.TempDir(), "--force_zero=false", "--include", "a", "--exclude", "b").
		expect(t, exitUsage, "include and exclude are both set")
	brock(t, "restore", "-l", r.location, "-p", t.TempDir(), "--force_zero=false", "--until", "2001-01-01T00:00:00Z").
		expect(t, exitError, "none was begun at or before 2001-01-01T00:00:00Z", "the oldest there was begun at")
	brock(t, "restore", "-l", r.location, "-p", t.TempDir(), "--force_zero=false", "--until", until, "--backup_num", "1").
		expect(t, exitUsage, "a number and a moment (until) were given")
	r.stop(t)
}

// TestManyWatchers has 50 clients poll the tasks while backups run. What each
// of them sees of a task only ever goes on.
func TestManyWatchers(t *testing.T) {
	t.Parallel()
	a := startAlpha(t, t.TempDir())
	a.load(t, model{}, ballastRef, ballast(ballastKB))
	destination := t.TempDir()
	over := make(chan struct{})
	var watchers sync.WaitGroup
	order := map[string]int{"Queued": 0, "Running": 1, "Success": 2}
	polls := make([]int, 50)
	for i := range polls {
		watchers.Go(func() {
			seen := map[string]task{}
			for {
				select {
				case <-over:
					return
				default:
				}
				var answer struct{ Tasks []task }
				if err := a.Admin(t.Context(), `{ tasks(kind: Backup) { `+taskFields+` } }`, nil, &answer); err != nil {
					t.Error(err)
					return
				}
				for _, now := range answer.Tasks {
					before := seen[now.ID]
					if order[now.Status] < order[before.Status] || now.Progress.RawBytes < before.Progress.RawBytes || now.Progress.Records < before.Progress.Records {
						t.Errorf("watcher %d saw %+v, then %+v", i, before, now)
					}
					seen[now.ID] = now
				}
				polls[i]++
			}
		})
	}
	for range 3 {
		a.backup(t, destination, true)
	}
	close(over)
	watchers.Wait()
	for i, n := range polls {
		if n == 0 {
			t.Errorf("watcher %d was never answered", i)
		}
	}
	good(t, "verify", "-l", destination, "--level", "full")
	a.stop(t)
}
