package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/brockdb/brock/graph/client"
)

var update = flag.Bool("update", false, "write the golden files")

// binary is the program under test, built once.
var binary string

const testVersion = "v0.0.0-test"

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "brock-test-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "brock")
	args := []string{"build", "-ldflags", "-X main.version=" + testVersion, "-o", binary}
	if raceDetector {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, ".")...).CombinedOutput(); err != nil {
		return 0, fmt.Errorf("cannot build the program: %w\n%s", err, out)
	}
	return m.Run(), nil
}

// call is one run of the program.
type call struct {
	dir   string   // working directory; "" means a new one
	env   []string // beside an environment without brock's variables
	stdin io.Reader
}

type result struct {
	stdout, stderr string
	code           int
}

// run executes the program to its end.
func (c call) run(t *testing.T, args ...string) result {
	t.Helper()
	cmd := c.command(t, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

func (c call) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	const deadline = time.Minute
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Dir = c.dir
	if c.dir == "" {
		cmd.Dir = t.TempDir()
	}
	cmd.Env = append(cleanEnvironment(), c.env...)
	cmd.Stdin = c.stdin
	return cmd
}

// cleanEnvironment has no variables of brock. The race detector, where it is
// built in, would sleep for a second at the end of every run.
func cleanEnvironment() []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "BROCK_") })
	return append(env, "GORACE=atexit_sleep_ms=0")
}

func brock(t *testing.T, args ...string) result {
	t.Helper()
	return call{}.run(t, args...)
}

// good runs the program and expects exit code 0.
func good(t *testing.T, args ...string) result {
	t.Helper()
	r := brock(t, args...)
	r.expect(t, exitGood)
	return r
}

// expect compares the exit code, and looks for texts in stderr.
func (r result) expect(t *testing.T, code int, texts ...string) {
	t.Helper()
	if r.code != code {
		t.Fatalf("exit code %d, want %d\nstdout: %s\nstderr: %s", r.code, code, r.stdout, r.stderr)
	}
	for _, text := range texts {
		if !strings.Contains(r.stderr, text) {
			t.Errorf("stderr lacks %q:\n%s", text, r.stderr)
		}
	}
}

// alpha is a running alpha.
type alpha struct {
	*client.Client
	url  string
	cmd  *exec.Cmd
	log  *lockedBuffer
	exit func() int // waits for the end and returns the exit code
}

const listens = "brock alpha listens on "

// startAlpha starts an alpha on a free port of 127.0.0.1 and ends it with the test.
func startAlpha(t *testing.T, dir string, args ...string) *alpha {
	t.Helper()
	return call{}.startAlpha(t, dir, args...)
}

func (c call) startAlpha(t *testing.T, dir string, args ...string) *alpha {
	t.Helper()
	cmd := c.command(t, append([]string{"alpha", "-p", dir, "--http", "127.0.0.1:0"}, args...)...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	a := &alpha{cmd: cmd, log: new(lockedBuffer)}
	cmd.Stderr = a.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	a.exit = sync.OnceValue(func() int {
		_ = cmd.Wait() // the exit code says it
		return cmd.ProcessState.ExitCode()
	})
	t.Cleanup(func() {
		a.signal(t, syscall.SIGTERM)
		a.exit()
		if t.Failed() {
			t.Logf("log of alpha %s:\n%s", dir, a.log)
		}
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	url, found := strings.CutPrefix(strings.TrimSpace(line), listens)
	if err != nil || !found {
		t.Fatalf("alpha says %q (%v), log:\n%s", line, err, a.log)
	}
	a.url = url
	if a.Client, err = client.New(url, client.Options{}); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *alpha) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := a.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
}

// stop ends the alpha as an operator does and expects that to be clean.
func (a *alpha) stop(t *testing.T) {
	t.Helper()
	a.signal(t, syscall.SIGTERM)
	if code := a.exit(); code != exitGood {
		t.Fatalf("alpha ended with exit code %d, log:\n%s", code, a.log)
	}
}

// load puts lines into a collection and returns them.
func (a *alpha) load(t *testing.T, collection, lines string) {
	t.Helper()
	if _, err := a.Load(t.Context(), "", collection, strings.NewReader(lines)); err != nil {
		t.Fatal(err)
	}
}

func (a *alpha) dump(t *testing.T, collection string) string {
	t.Helper()
	var out strings.Builder
	if _, err := a.Dump(t.Context(), "", collection, &out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// backup takes a backup and waits for it.
func (a *alpha) backup(t *testing.T, destination string) {
	t.Helper()
	var queued struct{ Backup struct{ TaskID string } }
	err := a.Admin(t.Context(), `mutation($to: String!) { backup(input: {destination: $to}) { taskId } }`,
		map[string]any{"to": destination}, &queued)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the backup ends", func() bool {
		var answer struct {
			Task struct{ Status, Message string }
		}
		err := a.Admin(t.Context(), `query($id: String!) { task(input: {id: $id}) { status message } }`,
			map[string]any{"id": queued.Backup.TaskID}, &answer)
		if err != nil || answer.Task.Status == "Failed" {
			t.Fatalf("backup failed: %s %v", answer.Task.Message, err)
		}
		return answer.Task.Status == "Success"
	})
}

// eventually polls until done.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	const patience, interval = 30 * time.Second, 2 * time.Millisecond
	for begin := time.Now(); !done(); time.Sleep(interval) {
		if time.Since(begin) > patience {
			t.Fatalf("it does not come to it that %s", what)
		}
	}
}

// records returns n lines as dump writes them, in its order.
func records(n int, value string) string {
	var lines strings.Builder
	for i := range n {
		fmt.Fprintf(&lines, "{\"key\":\"k%05d\",\"value\":{\"n\":%d,\"is\":%q}}\n", i, i, value)
	}
	return lines.String()
}

// lockedBuffer is read while a process writes to it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// write makes a file and returns its path.
func write(t *testing.T, path, content string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// golden compares a text with testdata/name, or writes it with -update.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		write(t, path, got)
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want := read(t, path); got != want {
		t.Errorf("differs from %s (go test -update writes it):\n%s", path, got)
	}
}
