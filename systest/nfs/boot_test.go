//go:build linux && !nfsguest

package nfs

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/brockdb/brock/systest/servers"
)

// The kernel of the guest may lose a timer under load, and then nothing in it
// runs any more until the signal of a timer comes.
const (
	idle       = 10 * time.Second // without a line of output: it is sent the signal
	standstill = 4 * time.Minute  // without a line of output: it is dead
	mostBoots  = 3
)

// machine is where a guest is put together.
type machine struct {
	dir string // shared with the guest
}

// newMachine makes all that a guest needs: the test binary, the modules of
// its kernel, and a disk to export.
func newMachine(t *testing.T) *machine {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		servers.LeaveOut(t, "Debian has User Mode Linux for amd64 only")
	}
	servers.Debian(t, "user-mode-linux", "nfs-kernel-server", "nfs-common", "rpcbind", "kmod", "e2fsprogs", "iproute2", "gcc", "libc6-dev")
	m := &machine{dir: t.TempDir()}
	version := kernelVersion(t)
	modules := filepath.Join(m.dir, "modroot", "lib", "modules")
	mkdir(t, modules)
	if err := os.Symlink("/usr/lib/uml/modules/"+version, filepath.Join(modules, version)); err != nil {
		t.Fatal(err)
	}
	m.run(t, nil, "cc", "-shared", "-fPIC", "-O1", "-o", m.path("xstate.so"), "testdata/xstate.c", "-ldl")
	m.run(t, []string{"CGO_ENABLED=0"}, "go", "test", "-c", "-tags", "nfsguest", "-o", m.path("guest.test"), ".")
	init, err := os.ReadFile("testdata/init.sh")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.path("init.sh"), init, 0o755); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *machine) path(name string) string { return filepath.Join(m.dir, name) }

func (m *machine) run(t *testing.T, env []string, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// kernelVersion returns the version whose modules are installed.
func kernelVersion(t *testing.T) string {
	t.Helper()
	entries, err := os.ReadDir("/usr/lib/uml/modules")
	if err != nil || len(entries) == 0 {
		t.Fatalf("there are no modules of User Mode Linux: %v", err)
	}
	return entries[len(entries)-1].Name()
}

func mkdir(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
}

// boot runs the guest to its end and returns what its tests printed, and
// whether they came to an end at all.
func (m *machine) boot(t *testing.T) (output string, ended bool) {
	t.Helper()
	out := m.path("out")
	if err := os.RemoveAll(out); err != nil {
		t.Fatal(err)
	}
	mkdir(t, out)
	disk := m.path("export.img")
	if err := os.WriteFile(disk, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(disk, diskBytes); err != nil {
		t.Fatal(err)
	}
	m.run(t, nil, "mkfs.ext4", "-q", "-F", "-m", "0", disk)

	var console bytes.Buffer
	cmd := exec.Command("linux.uml", "rootfstype=hostfs", "rootflags=/", "ro", "mem=768M", "ubda="+disk,
		"init="+m.path("init.sh"), "W="+m.dir, "quiet", "con=null", "con0=fd:0,fd:1", "umid=brock-"+strconv.Itoa(os.Getpid()))
	cmd.Dir = m.dir
	cmd.Env = append(os.Environ(), "HOME="+m.dir, "TMPDIR=/dev/shm", "LD_PRELOAD="+m.path("xstate.so"))
	cmd.Stdout, cmd.Stderr = &console, &console
	// Its processes are children of its own: they are ended as a group.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = 2 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait() // what it wrote says how it went
		close(exited)
	}()
	kill := func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // it may have ended
		<-exited
	}
	defer kill()
	m.watch(t, cmd.Process.Pid, exited)
	tests, _ := os.ReadFile(filepath.Join(out, "tests")) // missing when it did not boot
	_, err := os.Stat(filepath.Join(out, "rc"))
	if err != nil {
		kill()
		more, _ := os.ReadFile(filepath.Join(out, "console")) // the same
		t.Logf("the guest did not come to its end: %s\n%s\n%s", console.Bytes(), more, tests)
	}
	return string(tests), err == nil
}

// watch waits until the guest has ended or stands still for good, and wakes it
// up when it is idle.
func (m *machine) watch(t *testing.T, pid int, exited <-chan struct{}) {
	t.Helper()
	seen, changed, woken := int64(-1), time.Now(), 0
	for {
		select {
		case <-exited:
			return
		case <-time.After(time.Second): // between two looks
		}
		size := m.outputBytes()
		switch now := time.Now(); {
		case size != seen:
			seen, changed, woken = size, now, 0
		case now.Sub(changed) > standstill:
			t.Logf("the guest stood still for %v after %d bytes of output", standstill, seen)
			return
		case now.Sub(changed) > idle*time.Duration(woken+1):
			woken++
			_ = syscall.Kill(pid, syscall.SIGALRM) // it may have ended
		}
	}
}

func (m *machine) outputBytes() (n int64) {
	for _, name := range []string{"console", "tests", "rc"} {
		if info, err := os.Stat(m.path(filepath.Join("out", name))); err == nil {
			n += info.Size() + 1
		}
	}
	return n
}

// verdicts returns the outcome of each test in the output of a test binary.
func verdicts(output string) map[string]string {
	found := map[string]string{}
	for line := range strings.Lines(output) {
		outcome, rest, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if name, _, has := strings.Cut(rest, " ("); ok && has && strings.HasPrefix(outcome, "--- ") {
			found[name] = strings.TrimPrefix(outcome, "--- ")
		}
	}
	return found
}
