package main

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// manager is a service manager's end of sd_notify.
type manager struct {
	t    *testing.T
	conn *net.UnixConn
	name string
}

func newManager(t *testing.T, name string) *manager {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &manager{t, conn, name}
}

// hears returns the next state that is told.
func (m *manager) hears() string {
	m.t.Helper()
	if err := m.conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		m.t.Fatal(err)
	}
	text := make([]byte, 4096)
	n, err := m.conn.Read(text)
	if err != nil {
		m.t.Fatalf("the service manager hears nothing: %v", err)
	}
	return string(text[:n])
}

func TestServiceManager(t *testing.T) {
	t.Parallel()
	short, err := os.MkdirTemp("", "n") // a socket's path may have 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(short) })
	for name, socket := range map[string]string{"path": filepath.Join(short, "s"), "abstract": "@" + filepath.Base(short)} {
		t.Run(name, func(t *testing.T) {
			m := newManager(t, socket)
			a := call{env: []string{"NOTIFY_SOCKET=" + m.name, "WATCHDOG_USEC=20000"}}.startAlpha(t, filepath.Join(t.TempDir(), "p"))
			var heard []string
			for slices.Index(heard, "WATCHDOG=1") < 0 || len(heard) < 4 {
				heard = append(heard, m.hears())
			}
			if !strings.HasPrefix(heard[0], "READY=1\nSTATUS=serves group 1 at http://127.0.0.1:") {
				t.Errorf("the first thing it says is %q", heard[0])
			}
			if n := strings.Count(strings.Join(heard[1:], "\n"), "WATCHDOG=1"); n != len(heard)-1 {
				t.Errorf("it says %q", heard)
			}
			a.signal(t, syscall.SIGTERM)
			for state := m.hears(); state != "STOPPING=1"; state = m.hears() {
				if state != "WATCHDOG=1" {
					t.Errorf("before it stops it says %q", state)
				}
			}
			if code := a.exit(); code != exitGood {
				t.Errorf("exit code %d", code)
			}
		})
	}
	other := call{env: []string{"WATCHDOG_USEC=x"}}.run(t, "alpha", "-p", filepath.Join(t.TempDir(), "p"), "--http", "127.0.0.1:0")
	other.expect(t, exitUsage, "WATCHDOG_USEC")
	// Nobody there: the alpha serves all the same.
	call{env: []string{"NOTIFY_SOCKET=/no/such/socket"}}.startAlpha(t, filepath.Join(t.TempDir(), "p")).stop(t)
}

func TestWatchdogOfAnotherProcess(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "/run/socket")
	t.Setenv("WATCHDOG_USEC", "1000000")
	for pid, want := range map[string]time.Duration{"": time.Second, "1": 0} {
		t.Setenv("WATCHDOG_PID", pid)
		n, err := newNotifier()
		if err != nil || n.watchdog != want {
			t.Errorf("with WATCHDOG_PID %q: %+v, %v", pid, n, err)
		}
	}
}
