//go:build unix

package systest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// emptyCaches is the variable that gives the newcomer no caches of Go, only the
// module proxy. It takes minutes more.
const emptyCaches = "SYSTEST_EMPTY_CACHES"

// step is what the README's tour is expected to come to.
type step struct {
	has   string // a text that the step's block holds, and no other block
	wants string // a regular expression of what it prints
	again bool   // the block is run until it prints that
}

// tour are the steps of "Five minutes", in their order. A block that no step
// knows fails the test.
var tour = []step{
	{has: "make build", wants: `go build`},
	{has: "bin/brock load", wants: `135233 records loaded into default/cities`},
	{has: "mutation {\n  backup", wants: `"message":"Backup queued with ID 0x[0-9a-f]+","code":"Success"`},
	{has: "tasks {", wants: `"status":"Success"`, again: true},
	{has: "put(input", wants: `^\{"data":\{"put":\{"commitTs":\d+\},"remove":\{"commitTs":\d+\}\}\}`},
	{has: "brock backup", wants: `backup 2 of series [0-9a-f]+: \S+, 2 records`},
	{has: "lsbackup", wants: `(?s)full.*incremental.*series [0-9a-f]+: good, 2 backups, 1352\d\d records`},
	{has: "brock restore", wants: `(?s)Restore version: \d+\nRestore max uid: \d+\n.*Restore version: \d+\nRestore max uid: \d+\n`},
	{has: "127.0.0.1:8081 &", wants: ``}, // an alpha begins
	{has: "bin/brock dump", wants: `"population"`},
	{has: "/dev/urandom", wants: ``}, // an alpha begins
	{has: "/tmp/tour/encrypted --wait", wants: `backup 1 of series [0-9a-f]+: `},
	{has: "verify -l /tmp/tour/encrypted", wants: `series [0-9a-f]+: good, 1 backups`},
}

// TestNewcomer does what the README says, and nothing else: in a copy of the
// checkout, with a home of its own.
func TestNewcomer(t *testing.T) {
	t.Parallel()
	n := newNewcomer(t)
	t.Run("demo", func(t *testing.T) {
		if out := n.run(t, "make demo"); !strings.Contains(out, "All of it holds.") {
			t.Errorf("make demo prints\n%s", out)
		}
	})
	t.Run("tour", func(t *testing.T) {
		blocks := shellBlocks(t, "../README.md", "## Five minutes", "## As a library")
		if len(blocks) != len(tour) {
			t.Fatalf("the tour has %d blocks of commands and %d steps: %q", len(blocks), len(tour), blocks)
		}
		for i, block := range blocks {
			n.walk(t, tour[i], block)
		}
	})
}

func (n *newcomer) walk(t *testing.T, s step, block string) {
	t.Helper()
	if !strings.Contains(block, s.has) {
		t.Fatalf("the step of %q is\n%s", s.has, block)
	}
	if strings.Contains(block, "/tmp/tour/key &") {
		n.stopAll(t) // the README says so: two alphas cannot serve one directory
	}
	wanted := regexp.MustCompile(s.wants)
	var out string
	for begin := time.Now(); time.Since(begin) < processDeadline; time.Sleep(50 * time.Millisecond) {
		if out = n.run(t, block); wanted.MatchString(out) || !s.again {
			break
		}
	}
	if !wanted.MatchString(out) {
		t.Fatalf("this does not print %s:\n%s\nbut:\n%s", s.wants, block, out)
	}
}

// newcomer is somebody with a fresh checkout and a shell.
type newcomer struct {
	dir      string // the checkout
	tmp      string // what is /tmp in the README
	env      []string
	replacer *strings.Replacer // of addresses and paths that others may be using
	ports    [2]string
	groups   []int // process groups in which alphas run
}

func newNewcomer(t *testing.T) *newcomer {
	t.Helper()
	home, tmp := t.TempDir(), t.TempDir()
	n := &newcomer{dir: filepath.Join(t.TempDir(), "brock"), tmp: tmp, ports: [2]string{freePort(t), freePort(t)}}
	copyCheckout(t, n.dir)
	n.replacer = strings.NewReplacer("/tmp/", tmp+"/", "127.0.0.1:8080", "127.0.0.1:"+n.ports[0], "127.0.0.1:8081", "127.0.0.1:"+n.ports[1])
	n.env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + tmp, "GOPROXY=" + goEnv(t, "GOPROXY"), "GOFLAGS=-modcacherw",
		// Instead of the default port, which somebody may be using.
		"BROCK_HTTP=127.0.0.1:" + n.ports[0], "BROCK_ALPHA=http://127.0.0.1:" + n.ports[0]}
	if os.Getenv(emptyCaches) == "" {
		n.env = append(n.env, "GOMODCACHE="+goEnv(t, "GOMODCACHE"), "GOCACHE="+goEnv(t, "GOCACHE"))
	}
	t.Cleanup(func() { n.stopAll(t) })
	return n
}

// run runs commands as a shell does, and returns what they print. Those that it
// leaves in the background run on; when they serve, run returns.
func (n *newcomer) run(t *testing.T, commands string) string {
	t.Helper()
	const deadline = 20 * time.Minute // building with empty caches
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	commands = n.replacer.Replace(commands)
	out, err := os.Create(filepath.Join(n.tmp, "output"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", commands)
	cmd.Dir, cmd.Env = n.dir, n.env
	cmd.Stdout, cmd.Stderr = out, out // a file: those in the background keep it open
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(commands, " &") {
		n.groups = append(n.groups, cmd.Process.Pid)
	}
	err = cmd.Wait()
	printed := string(readFile(t, out.Name()))
	if err != nil {
		t.Fatalf("%s\n%v:\n%s", commands, err, printed)
	}
	if served := regexp.MustCompile(`brock alpha .*&`).FindString(commands); served != "" {
		port := n.ports[0]
		if strings.Contains(served, n.ports[1]) {
			port = n.ports[1]
		}
		waitHealthy(t, "http://127.0.0.1:"+port+"/health")
	}
	return printed
}

// stopAll ends what runs in the background, and waits until it has ended.
func (n *newcomer) stopAll(t *testing.T) {
	t.Helper()
	for _, group := range n.groups {
		_ = syscall.Kill(-group, syscall.SIGTERM) // it may have ended
		for begin := time.Now(); syscall.Kill(-group, 0) == nil; time.Sleep(10 * time.Millisecond) {
			if time.Since(begin) > processDeadline {
				_ = syscall.Kill(-group, syscall.SIGKILL)
				t.Errorf("process group %d does not end", group)
				break
			}
		}
	}
	n.groups = nil
}

func waitHealthy(t *testing.T, url string) {
	t.Helper()
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		answer, err := http.Get(url)
		if err == nil {
			_ = answer.Body.Close() // not read
			if answer.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Since(begin) > processDeadline {
			t.Fatalf("%s does not become healthy: %v", url, err)
		}
	}
}

// shellBlocks returns the blocks of shell commands between two headings of a page.
func shellBlocks(t *testing.T, page, from, to string) (blocks []string) {
	t.Helper()
	_, text, found := strings.Cut(string(readFile(t, page)), from)
	text, _, ended := strings.Cut(text, to)
	if !found || !ended {
		t.Fatalf("%s lacks the heading %q or %q", page, from, to)
	}
	for _, match := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(text, -1) {
		blocks = append(blocks, match[1])
	}
	return blocks
}

// copyCheckout makes a copy of what git knows, or would, of the checkout.
func copyCheckout(t *testing.T, to string) {
	t.Helper()
	list := exec.Command("git", "-C", "..", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	names, err := list.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	for name := range bytes.SplitSeq(bytes.TrimRight(names, "\x00"), []byte{0}) {
		from, target := filepath.Join("..", string(name)), filepath.Join(to, string(name))
		info, err := os.Stat(from)
		if os.IsNotExist(err) {
			continue // removed, and not yet committed
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(target, readFile(t, from), info.Mode().Perm()); err != nil {
			t.Fatal(err)
		}
	}
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return fmt.Sprint(listener.Addr().(*net.TCPAddr).Port)
}
