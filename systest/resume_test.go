package systest

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/brockdb/brock/backup"
)

// TestResumedBackup kills an alpha in the middle of a backup to a slow
// destination. Asked again, after changes, the backup goes on with the parts that
// are there and holds what the database held when it was begun; the next
// incremental has the changes, deletes too.
func TestResumedBackup(t *testing.T) {
	t.Parallel()
	destination := filepath.Join(t.TempDir(), "backups")
	key := []string{"--encryption_key_file", keyFile(t, 32)}
	slow := append([]string{"--max_bandwidth", "2MB"}, key...)
	a := startAlpha(t, t.TempDir(), slow...)
	h := &history{destination: destination, model: model{}, points: map[string]model{}}
	a.load(t, h.model, ballastRef, ballast(10<<10))
	a.store(t, h.model, bankRef, putRecord{"kept", json.RawMessage(`"before"`)}, putRecord{"gone", json.RawMessage(`"before"`)})

	ask := func(a *alpha) string {
		var queued struct{ Backup struct{ TaskID string } }
		err := a.Admin(t.Context(), `mutation($to: String!) { backup(input: {destination: $to, chunkSizeMB: 2, compressionLevel: NoCompression}) { taskId } }`,
			map[string]any{"to": destination}, &queued)
		if err != nil {
			t.Fatal(err)
		}
		return queued.Backup.TaskID
	}
	id := ask(a)
	for began := time.Now(); count(t, filepath.Join(destination, "brock.*", "resume.*")) == 0; time.Sleep(3 * time.Millisecond) {
		if got, err := a.task(t, id); err != nil || got.over() || time.Since(began) > processDeadline {
			t.Fatalf("nothing was noted: %+v, %v", got, err)
		}
	}
	a.kill(t)
	h.see(t)
	if left := unfinished(t, destination); len(left) == 0 {
		t.Fatal("the kill came too late")
	}

	a = startAlpha(t, a.dir, key...)
	a.store(t, h.model, bankRef, putRecord{"kept", json.RawMessage(`"after"`)})
	a.remove(t, h.model, bankRef, "gone")
	a.remove(t, h.model, ballastRef, h.model.someKeys(ballastRef, 30)...)
	id = ask(a)
	if ended := a.await(t, id, task.over); ended.Status != "Success" {
		t.Fatalf("%+v", ended)
	}
	h.see(t)
	var answer struct {
		Task struct {
			Result struct{ Resumed backup.Resumed }
		}
	}
	if err := a.Admin(t.Context(), fmt.Sprintf(`{ task(input: {id: %q}) { result } }`, id), nil, &answer); err != nil {
		t.Fatal(err)
	}
	if r := answer.Task.Result.Resumed; r.Parts == 0 || r.StoredBytes < 1<<20 || r.Afresh != "" {
		t.Errorf("the task says that it saved %+v", r)
	}
	if left := unfinished(t, destination); len(left) > 0 || count(t, filepath.Join(destination, "brock.*", "resume.*")) > 0 {
		t.Errorf("there is left %q", left)
	}
	if made := a.backup(t, destination, false); made.BackupNum != 2 {
		t.Errorf("the series does not go on: %+v", made)
	}
	h.see(t)
	a.stop(t)
	h.restore(t, []int{0, 1}, key...)
}
