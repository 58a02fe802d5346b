package servers

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// readyWithin is how long a server may take until it answers. On a machine
// that is busy with other tests it takes long.
const readyWithin = 90 * time.Second

// Process is a server that runs.
type Process struct {
	cmd    *exec.Cmd
	log    lockedBuffer
	exited chan struct{}
	stop   sync.Once
}

// launch starts a program and waits until ready returns nil. The process ends
// with the test, and with the test's process.
func launch(t testing.TB, env []string, ready func() error, program string, args ...string) *Process {
	t.Helper()
	p := &Process{cmd: exec.Command(program, args...), exited: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	p.cmd.WaitDelay = time.Second
	dieWithParent(p.cmd)
	started := make(chan error)
	go func() {
		// The signal at the parent's death is at the death of the thread that
		// started the process: this one lives until the process has ended.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // it is stopped by a signal
		}
		close(p.exited)
	}()
	if err := <-started; err != nil {
		t.Fatalf("cannot start %s: %v", program, err)
	}
	t.Cleanup(p.Stop)
	deadline := time.Now().Add(readyWithin)
	for {
		err := ready()
		if err == nil {
			return p
		}
		select {
		case <-p.exited:
			t.Fatalf("%s ended before it was ready: %v\n%s", program, err, p.log.String())
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s was not ready within %v: %v\n%s", program, readyWithin, err, p.log.String())
		}
	}
}

// Stop ends the server: SIGTERM, and SIGKILL when that does not do.
func (p *Process) Stop() {
	p.stop.Do(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		select {
		case <-p.exited:
		case <-time.After(5 * time.Second):
			p.Kill()
		}
	})
}

// Kill ends the server at once, as a crash does.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.exited
}

// Signal sends a signal, such as SIGSTOP, which makes it hang.
func (p *Process) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// Log returns what the server has printed.
func (p *Process) Log() string { return p.log.String() }

// FreePort returns a port of 127.0.0.1 on which nobody listened a moment ago.
func FreePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // nobody connected
	return l.Addr().(*net.TCPAddr).Port
}

func freeAddress(t testing.TB) string { return fmt.Sprintf("127.0.0.1:%d", FreePort(t)) }

// answers returns a check whether GET url has one of the given statuses, or
// any status when there are none.
func answers(client *http.Client, url string, statuses ...int) func() error {
	return func() error {
		resp, err := client.Get(url)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return err
		}
		for _, s := range statuses {
			if resp.StatusCode == s {
				return nil
			}
		}
		if len(statuses) == 0 {
			return nil
		}
		return errors.New("status " + resp.Status)
	}
}

// lockedBuffer is a bytes.Buffer for two goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write appends p.
func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// String returns what was written so far.
func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
