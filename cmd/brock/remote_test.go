package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// settled replaces what differs from run to run in the output of a command.
func settled(text string, dirs ...string) string {
	for i, dir := range dirs {
		text = strings.ReplaceAll(text, dir, "/DIR"+string(rune('A'+i)))
	}
	for _, r := range []struct{ pattern, with string }{
		{`0x[0-9a-f]+`, "0xID"},
		{`"digest": "[0-9a-f]{64}"`, `"digest": "DIGEST"`},
		{`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?`, "TIME"},
		{`brock\.\d{8}\.\d{6}\.\d{3}`, "brock.FOLDER"},
		{`"(backup_id|db_id)": "[^"]*"`, `"$1": "ID"`},
		{`"(stored_bytes|raw_bytes|total_bytes|bytes_per_second|commit_ts|read_ts|eta_seconds)": (null|[-\d.e+]+)`, `"$1": N`},
		{`127\.0\.0\.1:\d+`, "127.0.0.1:PORT"},
	} {
		text = regexp.MustCompile(r.pattern).ReplaceAllString(text, r.with)
	}
	return text
}

func TestBackupOfAlpha(t *testing.T) {
	t.Parallel()
	to := filepath.Join(t.TempDir(), "b")
	a := startAlpha(t, filepath.Join(t.TempDir(), "p"))
	a.load(t, "c", records(100, "x"))

	waited := good(t, "backup", "-d", to, "--alpha", a.url, "--wait", "--output", "json")
	golden(t, "json-backup.txt", settled(waited.stdout, to))
	text := good(t, "backup", "-d", to, "--alpha", a.url, "--wait")
	if !strings.HasPrefix(text.stdout, "backup 2 of series ") {
		t.Errorf("the second backup is %q", text.stdout)
	}
	id := strings.TrimSpace(good(t, "backup", "-d", to, "--alpha", a.url, "--force_full").stdout)
	if !regexp.MustCompile(`^0x[0-9a-f]+$`).MatchString(id) {
		t.Fatalf("without --wait it prints %q", id)
	}
	watched := good(t, "task", id, "--watch", "--alpha", a.url)
	if !strings.HasPrefix(watched.stdout, "task "+id+": Backup Success\n") {
		t.Errorf("the watched task is %q", watched.stdout)
	}
	var task taskJSON
	if err := json.Unmarshal([]byte(good(t, "task", id, "--alpha", a.url, "--output", "json").stdout), &task); err != nil ||
		task.ID != id || task.BackupNum != 1 || task.Fraction != 1 {
		t.Errorf("the task is %+v, %v", task, err)
	}
	golden(t, "json-tasks.txt", settled(good(t, "tasks", "--alpha", a.url, "--output", "json").stdout, to))
	if list := good(t, "tasks", "--alpha", a.url).stdout; strings.Count(list, "\n") != 4 || strings.Count(list, "Success") != 3 {
		t.Errorf("the tasks are\n%s", list)
	}
	brock(t, "cancel", id, "--alpha", a.url).expect(t, exitUsage, id)
	brock(t, "task", "0x1", "--alpha", a.url).expect(t, exitError, `there is no task "0x1"`)
	brock(t, "backup", "-d", "relative", "--alpha", a.url).expect(t, exitUsage, "relative", "hint: ")
	if got := good(t, "__complete", "task", "--alpha", a.url, "").stdout; !strings.Contains(got, id+"\tBackup Success") {
		t.Errorf("brock task <TAB> gives %q", got)
	}
}

// A task that fails makes --watch and --wait fail.
func TestFailedTask(t *testing.T) {
	t.Parallel()
	to := filepath.Join(t.TempDir(), "b")
	a := startAlpha(t, filepath.Join(t.TempDir(), "p"), "--max_bandwidth", "1MB")
	a.load(t, "c", records(10, "x"))
	id := slowBackup(t, a, to)
	waiting := call{}.start(t, "backup", "-d", to+"2", "--alpha", a.url, "--wait")
	eventually(t, "the second backup waits", func() bool { return a.tasks(t) == 2 })
	canceled := good(t, "cancel", id, "--alpha", a.url, "--wait")
	if canceled.stdout != "task "+id+": Canceled\n" {
		t.Errorf("cancel says %q", canceled.stdout)
	}
	brock(t, "task", id, "--alpha", a.url, "--watch").expect(t, exitError, "cannot finish task "+id+": it was canceled")
	if code := waiting.exit(); code != exitGood {
		t.Errorf("the second backup ended with %d: %s", code, waiting.stderr.String())
	}
}

// An interrupt of --wait cancels the backup.
func TestInterruptCancels(t *testing.T) {
	t.Parallel()
	to := filepath.Join(t.TempDir(), "b")
	a := startAlpha(t, filepath.Join(t.TempDir(), "p"), "--max_bandwidth", "1MB")
	a.load(t, "c", records(10, "x"))
	first := slowBackup(t, a, to)
	waiting := call{}.start(t, "backup", "-d", to+"2", "--alpha", a.url, "--wait", "--output", "json")
	eventually(t, "the second backup waits", func() bool { return a.tasks(t) == 2 })
	if err := waiting.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if code := waiting.exit(); code != exitError {
		t.Errorf("exit code %d", code)
	}
	for _, text := range []string{"interrupt signal received: canceling task 0x", "it was canceled"} {
		if !strings.Contains(waiting.stderr.String(), text) {
			t.Errorf("stderr lacks %q: %s", text, waiting.stderr.String())
		}
	}
	var task taskJSON
	if err := json.Unmarshal([]byte(waiting.stdout.String()), &task); err != nil || task.Status != "Canceled" {
		t.Errorf("stdout is %s, %v", waiting.stdout.String(), err)
	}
	good(t, "cancel", first, "--alpha", a.url, "--wait")
}

func TestUnreachableAlpha(t *testing.T) {
	r := brock(t, "tasks", "--alpha", "http://127.0.0.1:1")
	r.expect(t, exitError, "cannot reach the alpha at http://127.0.0.1:1", "hint: is it running")
	brock(t, "tasks", "--timeout", "0s").expect(t, exitUsage, "--timeout")
	brock(t, "tasks", "--tls_client_cert", "x").expect(t, exitUsage, "go together")
	brock(t, "tasks", "--tls_ca_cert", "/no/such").expect(t, exitError, "no such file")
	brock(t, "tasks", "--tls_ca_cert", write(t, filepath.Join(t.TempDir(), "ca"), "x")).expect(t, exitUsage, "no certificate")
}

// running is a command of the program that has not ended.
type running struct {
	cmd            *exec.Cmd
	stdout, stderr lockedBuffer
	exit           func() int // waits for the end and returns the exit code
}

func (c call) start(t *testing.T, args ...string) *running {
	t.Helper()
	r := &running{cmd: c.command(t, args...)}
	r.cmd.Stdout, r.cmd.Stderr = &r.stdout, &r.stderr
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.exit = sync.OnceValue(func() int {
		_ = r.cmd.Wait() // the exit code says it
		return r.cmd.ProcessState.ExitCode()
	})
	t.Cleanup(func() {
		_ = r.cmd.Process.Kill() // it may have ended
		r.exit()
	})
	return r
}

// slowBackup begins a backup of some 5 MB stored, which takes a while at an
// alpha with little bandwidth, and returns its task.
func slowBackup(t *testing.T, a *alpha, to string) (id string) {
	t.Helper()
	const lines, lineBytes = 10, 1 << 20
	noise := make([]byte, lineBytes/2)
	var text strings.Builder
	for i := range lines {
		_, _ = rand.NewChaCha8([32]byte{byte(i)}).Read(noise) // it never fails
		fmt.Fprintf(&text, "{\"key\":\"noise%d\",\"value\":\"%x\"}\n", i, noise)
	}
	a.load(t, "noise", text.String())
	return strings.TrimSpace(good(t, "backup", "-d", to, "--alpha", a.url).stdout)
}

// tasks counts the tasks of an alpha.
func (a *alpha) tasks(t *testing.T) int {
	t.Helper()
	var answer struct{ Tasks []struct{ ID string } }
	if err := a.Admin(t.Context(), "{ tasks { id } }", nil, &answer); err != nil {
		t.Fatal(err)
	}
	return len(answer.Tasks)
}

func TestStatus(t *testing.T) {
	a := startAlpha(t, filepath.Join(t.TempDir(), "p"))
	text := good(t, "status", "--check", "--alpha", a.url).stdout
	if !strings.HasPrefix(text, "alpha at 127.0.0.1:") || !strings.Contains(text, ": healthy, group 1, version "+testVersion) {
		t.Errorf("the status is %q", text)
	}
	seconds := regexp.MustCompile(`"uptime_seconds": \d+`)
	json := good(t, "status", "--alpha", a.url, "--output", "json").stdout
	golden(t, "json-status.txt", seconds.ReplaceAllString(settled(json), `"uptime_seconds": N`))
}

// What the other commands print with --output json.
func TestJSON(t *testing.T) {
	a := startAlpha(t, filepath.Join(t.TempDir(), "p"))
	file := write(t, filepath.Join(t.TempDir(), "lines"), records(3, "x"))
	golden(t, "json-load.txt", settled(good(t, "load", "-c", "c", "-f", file, "--alpha", a.url, "--output", "json").stdout))
	version := good(t, "version", "--output", "json").stdout
	for _, member := range []string{`"version": "` + testVersion + `"`, `"go": "go1.`, `"platform": "`} {
		if !strings.Contains(version, member) {
			t.Errorf("the version lacks %s: %s", member, version)
		}
	}
	to := filepath.Join(t.TempDir(), "b")
	id := strings.TrimSpace(good(t, "backup", "-d", to, "--alpha", a.url).stdout)
	good(t, "task", id, "--watch", "--alpha", a.url)
	task := good(t, "task", id, "--alpha", a.url, "--output", "json").stdout
	golden(t, "json-task.txt", settled(task, to))
	plan := good(t, "restore", "-p", filepath.Join(t.TempDir(), "r"), "-l", to, "--force_zero=false", "--dry_run", "--output", "json").stdout
	golden(t, "json-plan.txt", regexp.MustCompile(`"version": \d+|"dir": "[^"]*"`).ReplaceAllString(settled(plan, to), `"…"`))
	restored := good(t, "restore", "-p", filepath.Join(t.TempDir(), "r"), "-l", to, "--force_zero=false", "--output", "json").stdout
	golden(t, "json-restore.txt", regexp.MustCompile(`"version": \d+|"/[^"]*"`).ReplaceAllString(settled(restored), `"…"`))
	golden(t, "json-verify.txt", settled(good(t, "verify", "-l", to, "--output", "json").stdout, to))
	golden(t, "json-lsbackup.txt", regexp.MustCompile(`("sha256|"bytes|"name": "r)[^,\n]*`).ReplaceAllString(
		settled(good(t, "lsbackup", "-l", to).stdout, to), "$1…"))
}
