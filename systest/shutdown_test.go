package systest

import (
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestStoppedBackup ends an alpha with SIGTERM while a backup runs and a client
// neither takes its answer nor goes away.
func TestStoppedBackup(t *testing.T) {
	t.Parallel()
	const drain = time.Second
	h := &history{destination: t.TempDir(), model: model{}, points: map[string]model{}}
	a := startAlpha(t, t.TempDir(), "--drain", drain.String(), "--backup_workers", "1")
	a.load(t, h.model, ballastRef, ballast(ballastKB))
	idle, err := net.Dial("tcp", strings.TrimPrefix(a.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close() // only asked
	if _, err := idle.Write([]byte("GET /dump?collection=ballast HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	id, err := a.submit(t, h.destination, false)
	if err != nil {
		t.Fatal(err)
	}
	a.await(t, id, func(got task) bool { return got.Phase == "scan" && len(unfinished(t, h.destination)) > 0 || got.over() })
	waiting, err := a.submit(t, h.destination, false)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	a.stop(t)
	const slack = 5 * time.Second // for a busy machine; a backup of this size takes less
	if took := time.Since(began); took > drain+slack {
		t.Errorf("the alpha took %v to end", took)
	}
	h.see(t)

	a = a.again(t)
	stopped := a.await(t, id, task.over)
	if stopped.Status != "Failed" || stopped.Message != "the alpha was stopped" || stopped.FinishedAt == nil {
		t.Errorf("the stopped task says %+v", stopped)
	}
	never := a.await(t, waiting, task.over)
	if never.Status != "Failed" || !strings.Contains(never.Message, "before it began") || never.StartedAt != nil {
		t.Errorf("the task behind it says %+v", never)
	}
	a.backup(t, h.destination, false)
	h.see(t)
	if left := unfinished(t, h.destination); len(left) > 0 || len(h.order) != 1 {
		t.Errorf("there are the backups %q, and %q is left", h.order, left)
	}
	a.check(t, h.model, "after the stop")
	a.stop(t)
	h.restore(t, []int{0})
}

// TestTwoSignals ends an alpha at once, whatever it is doing.
func TestTwoSignals(t *testing.T) {
	t.Parallel()
	a := startAlpha(t, t.TempDir(), "--drain", "1h")
	m := model{}
	a.store(t, m, bankRef, putRecord{"k", []byte(`"v"`)})
	a.load(t, m, ballastRef, ballast(ballastKB))
	idle, err := net.Dial("tcp", strings.TrimPrefix(a.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close() // only asked
	if _, err := idle.Write([]byte("GET /dump?collection=ballast HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	head := make([]byte, 12)
	if _, err := idle.Read(head); err != nil || string(head) != "HTTP/1.1 200" {
		t.Fatalf("the dump begins with %q, %v", head, err)
	}
	a.signal(t, syscall.SIGTERM)
	for !strings.Contains(a.stderr.String(), "ending: ") {
		time.Sleep(time.Millisecond)
	}
	a.signal(t, syscall.SIGTERM)
	if code := a.exit(); code != -1 {
		t.Errorf("the alpha ended with exit code %d, not by the signal", code)
	}
	a = startAlpha(t, a.dir)
	a.check(t, m, "after two signals")
	a.stop(t)
}
