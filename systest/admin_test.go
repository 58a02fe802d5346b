package systest

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
)

// task is a task as /admin tells it.
type task struct {
	ID, Kind, Status, Phase string
	Message, Hint           string
	QueuedAt                time.Time
	StartedAt, FinishedAt   *time.Time
	Progress                struct {
		Records, RawBytes, StoredBytes int64
		Fraction                       float64
	}
	Destination, BackupID string
	BackupNum             uint64
	Path                  string
}

const taskFields = `id kind status phase message hint queuedAt startedAt finishedAt
	progress { records rawBytes storedBytes fraction } destination backupId backupNum path`

// submit queues a backup and returns the task's id.
func (a *alpha) submit(t *testing.T, destination string, forceFull bool) (string, error) {
	t.Helper()
	var queued struct {
		Backup struct {
			Response struct{ Message, Code string }
			TaskID   string
		}
	}
	err := a.Admin(t.Context(), `mutation($to: String!, $full: Boolean) {
		backup(input: {destination: $to, forceFull: $full}) { response { message code } taskId } }`,
		map[string]any{"to": destination, "full": forceFull}, &queued)
	if err != nil {
		return "", err
	}
	id := queued.Backup.TaskID
	if r := queued.Backup.Response; r.Code != "Success" || r.Message != "Backup queued with ID "+id || !strings.HasPrefix(id, "0x") {
		t.Errorf("the answer to backup is %+v", queued.Backup)
	}
	return id, nil
}

func (a *alpha) task(t *testing.T, id string) (task, error) {
	t.Helper()
	var answer struct{ Task task }
	err := a.Admin(t.Context(), `query($id: String!) { task(input: {id: $id}) { `+taskFields+` } }`,
		map[string]any{"id": id}, &answer)
	return answer.Task, err
}

func (a *alpha) tasks(t *testing.T) []task {
	t.Helper()
	var answer struct{ Tasks []task }
	if err := a.Admin(t.Context(), `{ tasks { `+taskFields+` } }`, nil, &answer); err != nil {
		t.Fatal(err)
	}
	return answer.Tasks
}

// await polls a task until done says that it has seen enough.
func (a *alpha) await(t *testing.T, id string, done func(task) bool) task {
	t.Helper()
	for {
		got, err := a.task(t, id)
		if err != nil {
			t.Fatal(err)
		}
		if done(got) {
			return got
		}
		time.Sleep(3 * time.Millisecond) // between two polls
	}
}

func (got task) over() bool { return got.Status != "Queued" && got.Status != "Running" }

// tryBackup takes a backup and returns how the task ended, or why there was none.
func (a *alpha) tryBackup(t *testing.T, destination string, forceFull bool) (task, error) {
	t.Helper()
	id, err := a.submit(t, destination, forceFull)
	if err != nil {
		return task{}, err
	}
	return a.await(t, id, task.over), nil
}

// backup takes a backup, which must succeed.
func (a *alpha) backup(t *testing.T, destination string, forceFull bool) task {
	t.Helper()
	done, err := a.tryBackup(t, destination, forceFull)
	if err != nil {
		t.Fatal(err)
	}
	if done.Status != "Success" || done.Message != "" || done.FinishedAt == nil || done.BackupNum == 0 {
		t.Fatalf("the backup ended as %+v", done)
	}
	return done
}

// list returns the manifests at a destination as brock lsbackup does.
func list(t *testing.T, destination string) []manifest.Manifest {
	t.Helper()
	var all []manifest.Manifest
	r := good(t, "lsbackup", "-l", destination)
	if err := json.Unmarshal([]byte(r.stdout), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// manifestOf returns the manifest of the backup that a task made.
func manifestOf(t *testing.T, destination string, made task) manifest.Manifest {
	t.Helper()
	all := list(t, destination)
	at := slices.IndexFunc(all, func(m manifest.Manifest) bool { return m.Path == made.Path })
	if at < 0 {
		t.Fatalf("there is no backup %s at %s", made.Path, destination)
	}
	if m := all[at]; m.BackupID != made.BackupID || uint64(m.BackupNum) != made.BackupNum {
		t.Errorf("the task says %s %d, the manifest %s %d", made.BackupID, made.BackupNum, m.BackupID, m.BackupNum)
	}
	return all[at]
}

// restored is a directory that brock restore made.
type restored struct {
	dir     string // p1
	version uint64
	maxUID  uint64
}

// restoreBackup restores backup num of a series into a new directory.
func restoreBackup(t *testing.T, destination, backupID string, num int, args ...string) restored {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "restored")
	all := append([]string{"restore", "-p", dir, "-l", destination, "--force_zero=false", "--output", "json",
		"--backup_id", backupID, "--backup_num", strconv.Itoa(num)}, args...)
	var answer struct {
		BackupID  string   `json:"backup_id"`
		BackupNum int      `json:"backup_num"`
		Version   uint64   `json:"version"`
		MaxUID    uint64   `json:"max_uid"`
		Dirs      []string `json:"dirs"`
	}
	r := good(t, all...)
	if err := json.Unmarshal([]byte(r.stdout), &answer); err != nil {
		t.Fatal(err)
	}
	want := filepath.Join(dir, "p1")
	if answer.BackupID != backupID || num > 0 && answer.BackupNum != num || len(answer.Dirs) != 1 || answer.Dirs[0] != want {
		t.Errorf("restored %+v, want number %d of %s in %s", answer, num, backupID, want)
	}
	return restored{want, answer.Version, answer.MaxUID}
}

// wantRefusal checks an error of /admin: its kind, its text, and a hint.
func wantRefusal(t *testing.T, err error, kind fault.Kind, text, hint string) {
	t.Helper()
	switch {
	case err == nil:
		t.Errorf("there is no error, want %q", text)
	case !fault.Is(err, kind) || !strings.Contains(err.Error(), text) || !strings.Contains(fault.HintOf(err), hint):
		t.Errorf("the error is of kind %v: %v (hint %q)\nwant kind %v: %q (hint %q)",
			fault.KindOf(err), err, fault.HintOf(err), kind, text, hint)
	}
	if e := (*fault.Error)(nil); !errors.As(err, &e) {
		t.Errorf("the error %v says nothing of its operation", err)
	}
}
