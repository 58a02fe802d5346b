package systest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/prune"
	"github.com/brockdb/brock/restore"
)

// fullTask is a task with its result.
type fullTask struct {
	ID, Kind, Status, Message, Hint, ErrorKind, RequestedBy string
	Result                                                  json.RawMessage
}

// run sends a mutation that queues a task, waits for its end, and decodes its
// result. field is the mutation's name.
func (a *alpha) run(t *testing.T, field, input string, variables map[string]any, result any) (fullTask, error) {
	t.Helper()
	var queued map[string]struct {
		Response struct{ Message, Code string }
		TaskID   string
	}
	query := "mutation($l: String!) { " + field + "(input: {location: $l " + input + "}) { response { message code } taskId } }"
	if err := a.Admin(t.Context(), query, variables, &queued); err != nil {
		return fullTask{}, err
	}
	id := queued[field].TaskID
	if code := queued[field].Response.Code; code != "Success" || !strings.HasSuffix(queued[field].Response.Message, id) {
		t.Errorf("%s answers %+v", field, queued[field])
	}
	a.await(t, id, task.over)
	var answer struct{ Task fullTask }
	err := a.Admin(t.Context(), `query($id: String!) { task(input: {id: $id}) { id kind status message hint errorKind requestedBy result } }`,
		map[string]any{"id": id}, &answer)
	if err != nil {
		t.Fatal(err)
	}
	if len(answer.Task.Result) > 0 && result != nil {
		if err := json.Unmarshal(answer.Task.Result, result); err != nil {
			t.Fatal(err)
		}
	}
	return answer.Task, nil
}

// TestVerifyMutation verifies a good series at every level, then damages it.
func TestVerifyMutation(t *testing.T) {
	t.Parallel()
	key := keyFile(t, 32)
	a := startAlpha(t, t.TempDir(), "--encryption_key_file", key)
	to := t.TempDir()
	a.store(t, model{}, bankRef, putRecord{"k", []byte(`1`)})
	first := a.backup(t, to, false)
	a.store(t, model{}, bankRef, putRecord{"l", []byte(`2`)})
	a.backup(t, to, false)
	at := map[string]any{"l": to}
	for _, level := range []string{"", "level: QUICK", "level: FULL", "level: RESTORE, backupNum: 1, backupId: \"" + first.BackupID + "\"", `level: FULL, encryptionKeyFile: "` + key + `"`} {
		var report restore.Report
		done, err := a.run(t, "verifyBackup", level, at, &report)
		if err != nil || done.Kind != "Verify" || done.Status != "Success" || !report.Good || len(report.Series) != 1 || report.Series[0].Backups == 0 {
			t.Errorf("%q: %+v, %+v, %v", level, done, report, err)
		}
	}
	for input, text := range map[string]string{
		`backupNum: 1`:                    "backupNum is 1 and backupId is",
		`encryptionKeyFile: "/nowhere/k"`: "cannot read encryption key file",
	} {
		if _, err := a.run(t, "verifyBackup", input, at, nil); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", input, err)
		}
	}
	done, err := a.run(t, "verifyBackup", `encryptionKeyFile: "`+keyFile(t, 16)+`"`, at, nil)
	if err != nil || done.Status != "Failed" || done.ErrorKind != "WRONG_KEY" || done.Hint == "" {
		t.Errorf("with another key: %+v, %v", done, err)
	}
	parts, err := filepath.Glob(filepath.Join(to, first.Path, "*.backup"))
	if err != nil || len(parts) == 0 {
		t.Fatal(parts, err)
	}
	content := readFile(t, parts[0])
	content[len(content)/2] ^= 1
	writeFile(t, parts[0], content)
	if done, err := a.run(t, "verifyBackup", "level: FULL", at, nil); err != nil || done.Status != "Failed" || done.ErrorKind != "CORRUPT" {
		t.Errorf("of a flipped bit: %+v, %v", done, err)
	}
	if done, err := a.run(t, "verifyBackup", "level: QUICK", at, nil); err != nil || done.Status != "Success" {
		t.Errorf("a quick look at a flipped bit: %+v, %v", done, err)
	}
	a.stop(t)
}

// TestPruneMutation prunes two of three series, and backs up on.
func TestPruneMutation(t *testing.T) {
	t.Parallel()
	a := startAlpha(t, t.TempDir())
	to := t.TempDir()
	at := map[string]any{"l": to}
	h := &history{destination: to, model: model{}, points: map[string]model{}}
	for i := range 6 {
		a.store(t, h.model, bankRef, putRecord{string(rune('a' + i)), []byte(`"v"`)})
		a.backup(t, to, i%2 == 0)
		h.see(t)
	}
	for _, input := range []string{"keepLast: 1", "keepLast: 1, dryRun: true", ""} {
		var result prune.Result
		done, err := a.run(t, "pruneBackups", input, at, &result)
		if err != nil || done.Kind != "Prune" || done.Status != "Success" || !result.DryRun || len(result.Series) != 3 {
			t.Fatalf("%q: %+v, %+v, %v", input, done, result, err)
		}
		if want := map[bool]int{true: 0, false: 4}[input == ""]; result.Backups != want {
			t.Errorf("%q: %d backups would go, want %d", input, result.Backups, want)
		}
		if all := list(t, to); len(all) != 6 {
			t.Fatalf("a dry run left %d backups", len(all))
		}
	}
	var result prune.Result
	done, err := a.run(t, "pruneBackups", `keepLast: 1, olderThan: "1ms", timezone: "Europe/Berlin", dryRun: false`, at, &result)
	if err != nil || done.Status != "Success" || result.DryRun || result.Backups != 4 || result.Series[2].Action != prune.Keep {
		t.Fatalf("%+v, %+v, %v", done, result, err)
	}
	if all := list(t, to); len(all) != 2 || all[0].Type != "full" {
		t.Fatalf("left are %+v", all)
	}
	// The series that is left goes on.
	a.store(t, h.model, bankRef, putRecord{"z", []byte(`"v"`)})
	if last := a.backup(t, to, false); last.BackupNum != 3 {
		t.Errorf("the backup after a prune is %+v", last)
	}
	h.see(t)
	// A series that somebody removed is not extended, and none is begun unasked.
	for _, m := range list(t, to) {
		if err := os.RemoveAll(filepath.Join(to, m.Path)); err != nil {
			t.Fatal(err)
		}
	}
	_, err = a.submit(t, to, false)
	wantRefusal(t, err, fault.Mixed, "no backup is there", "forceFull: true")
	if again := manifestOf(t, to, a.backup(t, to, true)); again.Type != "full" {
		t.Errorf("a backup without its series is %+v", again)
	}
	for input, text := range map[string]string{
		"keepLast: -1":             "keepLast is below 0",
		`olderThan: "yesterday"`:   "is no time such as 30d",
		`timezone: "Mars/Olympus"`: "is no time zone",
	} {
		_, err := a.run(t, "pruneBackups", input, at, nil)
		wantRefusal(t, err, fault.Usage, text, "")
	}
	a.stop(t)
}
