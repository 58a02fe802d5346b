package systest

import (
	"bufio"
	"bytes"
	"errors"
	"net/url"
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

// The exit codes of brock.
const (
	exitGood    = 0
	exitError   = 1
	exitUsage   = 2
	exitDamaged = 3
)

// processDeadline is far beyond what any process of a test takes, beside those
// that are loaded for as long as -soak says.
const processDeadline = 2 * time.Minute

// environment is that of every process: none of brock's and none of Vault's
// variables, and no pause of the race detector at the end.
func environment(more ...string) []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "BROCK_") || strings.HasPrefix(v, "VAULT_") })
	race := strings.TrimSpace(os.Getenv("GORACE") + " atexit_sleep_ms=0")
	return append(append(env, "GORACE="+race), more...)
}

// process is a running command of the program.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr lockedBuffer
	exit           func() int // waits for the end and returns the exit code
}

// start runs the program. A process that has not ended when the test does is killed.
func start(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(program, args...)}
	p.cmd.Env = environment(env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	p.cmd.WaitDelay = time.Second
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	deadline := time.AfterFunc(processDeadline+2*(*soak), func() { _ = p.cmd.Process.Kill() }) // it may have ended
	p.exit = sync.OnceValue(func() int {
		_ = p.cmd.Wait() // the exit code says it
		deadline.Stop()
		return p.cmd.ProcessState.ExitCode()
	})
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		p.exit()
		printed := p.stderr.String()
		if args[0] != "dump" { // which prints records
			printed += p.stdout.String()
		}
		watched.show("what brock "+args[0]+" printed in "+t.Name(), printed)
		if strings.Contains(p.stderr.String(), "DATA RACE") {
			t.Errorf("brock %s has a data race:\n%s", strings.Join(args, " "), p.stderr.String())
		}
	})
	return p
}

func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
}

// result is what a command came to.
type result struct {
	args           []string
	stdout, stderr string
	code           int
}

// brock runs a command to its end.
func brock(t *testing.T, args ...string) result {
	t.Helper()
	p := start(t, nil, args...)
	code := p.exit()
	return result{args, p.stdout.String(), p.stderr.String(), code}
}

// expect compares the exit code, and looks for texts in stderr.
func (r result) expect(t *testing.T, code int, texts ...string) result {
	t.Helper()
	if r.code != code {
		t.Errorf("brock %s: exit code %d, want %d\nstdout: %s\nstderr: %s", strings.Join(r.args, " "), r.code, code, r.stdout, r.stderr)
	}
	for _, text := range texts {
		if !strings.Contains(r.stderr, text) {
			t.Errorf("brock %s: stderr lacks %q:\n%s", strings.Join(r.args, " "), text, r.stderr)
		}
	}
	return r
}

// good runs a command and ends the test unless its exit code is 0.
func good(t *testing.T, args ...string) result {
	t.Helper()
	r := brock(t, args...).expect(t, exitGood)
	if r.code != exitGood {
		t.FailNow()
	}
	return r
}

// alpha is a running brock alpha and a client of it.
type alpha struct {
	*client.Client
	*process
	url  string
	dir  string
	args []string // beside directory and address

	token string // of /admin
}

const listens = "brock alpha listens on "

// startAlpha starts an alpha on a free port of 127.0.0.1. It is killed at the
// end of the test; a test that has brought it to an end has shown more.
func startAlpha(t *testing.T, dir string, args ...string) *alpha {
	t.Helper()
	return startAlphaWith(t, nil, client.Options{}, dir, args...)
}

func startAlphaWith(t *testing.T, env []string, o client.Options, dir string, args ...string) *alpha {
	t.Helper()
	a := &alpha{dir: dir, args: args, token: o.AuthToken}
	a.process = start(t, env, append([]string{"alpha", "-p", dir, "--http", "127.0.0.1:0"}, args...)...)
	a.url = a.waitForLine(t)
	var err error
	if a.Client, err = client.New(a.url, o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		a.Close()
		if t.Failed() {
			t.Logf("log of alpha %s:\n%s", dir, a.stderr.String())
		}
	})
	return a
}

// waitForLine waits until the alpha says where it listens, and returns that.
func (a *alpha) waitForLine(t *testing.T) string {
	t.Helper()
	ended := make(chan int, 1)
	go func() { ended <- a.exit() }()
	for {
		line, err := bufio.NewReader(strings.NewReader(a.stdout.String())).ReadString('\n')
		if address, found := strings.CutPrefix(strings.TrimSpace(line), listens); err == nil && found {
			if _, err := url.Parse(address); err != nil {
				t.Fatalf("alpha says it listens on %q", address)
			}
			return address
		}
		select {
		case code := <-ended:
			t.Fatalf("alpha ended with exit code %d:\n%s", code, a.stderr.String())
		case <-time.After(2 * time.Millisecond): // between two looks
		}
	}
}

// stop ends the alpha as an operator does, and expects that to be clean.
func (a *alpha) stop(t *testing.T) {
	t.Helper()
	watched.showAlpha(t, a)
	a.Close()
	a.signal(t, syscall.SIGTERM)
	if code := a.exit(); code != exitGood {
		t.Fatalf("alpha ended with exit code %d:\n%s", code, a.stderr.String())
	}
}

// kill ends the alpha as a power cut does.
func (a *alpha) kill(t *testing.T) {
	t.Helper()
	a.Close()
	a.signal(t, syscall.SIGKILL)
	a.exit()
}

// again starts an alpha in the same directory in the same way.
func (a *alpha) again(t *testing.T) *alpha {
	t.Helper()
	return startAlpha(t, a.dir, a.args...)
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

// writeFile makes a file and returns its path.
func writeFile(t *testing.T, path string, content []byte) string {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// keyFile makes a key file of so many bytes and returns its path.
func keyFile(t *testing.T, bytes int) string {
	t.Helper()
	key := make([]byte, bytes)
	for i := range key {
		key[i] = byte(i*37 + bytes)
	}
	watchSecret(t, string(key))
	return writeFile(t, filepath.Join(t.TempDir(), "key"), key)
}

// files returns the paths of all files below dir.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var paths []string
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// copyDir copies a directory of files and folders, and returns the copy.
func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}
