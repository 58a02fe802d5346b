package systest

import (
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestStoppedBackup ends an alpha with SIGTERM while a backup runs and another
// one waits.
func TestStoppedBackup(t *testing.T) {
	t.Parallel()
	h := &history{destination: t.TempDir(), model: model{}, points: map[string]model{}}
	a := startAlpha(t, t.TempDir(), "--backup_workers", "1")
	a.load(t, h.model, ballastRef, ballast(ballastKB))
	for attempt := 0; !stopBackup(t, a, h); attempt++ { // unless it was faster
		if attempt == 10 {
			t.Fatal("no backup could be stopped")
		}
		a = a.again(t)
	}
	a = a.again(t)
	a.backup(t, h.destination, false)
	h.see(t)
	if left := unfinished(t, h.destination); len(left) > 0 {
		t.Errorf("there is left %q", left)
	}
	a.check(t, h.model, "after the stop")
	a.stop(t)
	h.restore(t, []int{len(h.order) - 1})
}

// stopBackup reports whether the alpha was stopped while a backup ran.
func stopBackup(t *testing.T, a *alpha, h *history) bool {
	t.Helper()
	id, err := a.submit(t, h.destination, true)
	if err != nil {
		t.Fatal(err)
	}
	waiting, err := a.submit(t, h.destination, true)
	if err != nil {
		t.Fatal(err)
	}
	a.await(t, id, func(got task) bool { return got.over() || len(unfinished(t, h.destination)) > 0 })
	a.stop(t)
	if left := unfinished(t, h.destination); len(left) > 0 {
		t.Errorf("the stopped backup has left %q", left)
	}
	h.see(t)
	a = a.again(t)
	defer a.stop(t)
	stopped, behind := a.await(t, id, task.over), a.await(t, waiting, task.over)
	if stopped.Status == "Success" {
		return false
	}
	if stopped.Status != "Failed" || stopped.Message != "the alpha was stopped" || stopped.FinishedAt == nil {
		t.Errorf("the stopped task says %+v", stopped)
	}
	if behind.Status != "Failed" || !strings.Contains(behind.Message, "before it began") || behind.StartedAt != nil {
		t.Errorf("the task behind it says %+v", behind)
	}
	return true
}

// TestDrain ends an alpha with SIGTERM while a client neither sends its request
// to the end nor goes away: it waits as long as it was told to, or until it is
// told again.
func TestDrain(t *testing.T) {
	t.Parallel()
	const drain, slack = 500 * time.Millisecond, 5 * time.Second // slack for a busy machine
	a := startAlpha(t, t.TempDir(), "--drain", drain.String())
	m := model{}
	a.store(t, m, bankRef, putRecord{"k", []byte(`"v"`)})
	a.stuckClient(t)
	began := time.Now()
	a.stop(t)
	if took := time.Since(began); took < drain || took > drain+slack {
		t.Errorf("the alpha took %v to end, with %v to drain", took, drain)
	}

	a = startAlpha(t, a.dir, "--drain", "1h")
	a.store(t, m, bankRef, putRecord{"l", []byte(`"w"`)})
	a.stuckClient(t)
	a.signal(t, syscall.SIGTERM)
	a.signal(t, syscall.SIGINT)
	if code := a.exit(); code != exitError {
		t.Errorf("the alpha ended with exit code %d after the second signal", code)
	}
	a = startAlpha(t, a.dir)
	a.check(t, m, "after two signals")
	a.stop(t)
}

// stuckClient begins a request and does not go on with it.
func (a *alpha) stuckClient(t *testing.T) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(a.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // nothing was to come of it
	const head = "POST /load?collection=never HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n"
	if _, err := conn.Write([]byte(head)); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 12)
	if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "HTTP/1.1 100" {
		t.Fatalf("the alpha answers %q, %v", answer, err)
	}
}
