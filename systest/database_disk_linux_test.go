package systest

import (
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/brockdb/brock/systest/faultfs"
)

// getText asks an alpha for a page.
func (a *alpha) getText(t *testing.T, path string) (status int, text string) {
	t.Helper()
	res, err := http.Get(a.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() // only read
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// TestDatabaseDiskFails has the disk of an alpha's database fail: it says so at
// every place where somebody looks, refuses records and backups, ends with 1, and
// has all that was acknowledged when it is started again.
func TestDatabaseDiskFails(t *testing.T) {
	t.Parallel()
	f := faultfs.Mount(t)
	dir, backups := filepath.Join(f.Dir, "db"), t.TempDir()
	a := startAlpha(t, dir, "--disk_watchdog", "6s")
	lines := filepath.Join(t.TempDir(), "lines")
	writeFile(t, lines, []byte(strings.Repeat(`{"value":"acknowledged"}`+"\n", 100)))
	good(t, "load", "--alpha", a.url, "-c", "c", "-f", lines)
	if status, text := a.getText(t, "/health"); status != http.StatusOK {
		t.Fatalf("before: %d %s", status, text)
	}
	f.Fail(faultfs.Fsync, syscall.EIO)
	if r := brock(t, "load", "--alpha", a.url, "-c", "c", "-f", lines); r.code == exitGood || !strings.Contains(r.stderr, "takes no more writes") {
		t.Errorf("a load: %d %s", r.code, r.stderr)
	}
	status, text := a.getText(t, "/health")
	if status != http.StatusServiceUnavailable || !strings.Contains(text, `"status":"disk failed"`) ||
		!strings.Contains(text, "input/output error") || strings.Contains(text, dir) {
		t.Errorf("/health: %d %s", status, text)
	}
	if status, _ := a.getText(t, "/health?live=1"); status != http.StatusOK {
		t.Errorf("it lives no more: %d", status)
	}
	if _, text := a.getText(t, "/metrics"); !strings.Contains(text, "\nbrock_store_writable 0\n") || !strings.Contains(text, "\nbrock_store_disk_healthy 0\n") {
		t.Error("the metrics do not tell")
	}
	if r := brock(t, "status", "--alpha", a.url, "--check"); r.code != exitError || !strings.Contains(r.stdout, "disk failed: cannot commit batch") {
		t.Errorf("brock status: %d %s %s", r.code, r.stdout, r.stderr)
	}
	if r := brock(t, "backup", "--alpha", a.url, "-d", backups, "--wait"); r.code == exitGood || len(files(t, backups)) > 0 {
		t.Errorf("a backup: %d %s, files %q", r.code, r.stderr, files(t, backups))
	}
	a.Close()
	ended := time.AfterFunc(time.Minute, func() { t.Error("it does not end") })
	if code := a.exit(); code != exitError || !strings.Contains(a.stderr.String(), "takes no more writes") {
		t.Errorf("it ended with %d:\n%s", code, a.stderr.String())
	}
	ended.Stop()
	f.Heal()
	a = a.again(t)
	if _, text := a.getText(t, "/dump?collection=c"); strings.Count(text, "acknowledged") < 100 {
		t.Errorf("records are gone: %s", text)
	}
	if status, text := a.getText(t, "/health"); status != http.StatusOK {
		t.Errorf("after: %d %s", status, text)
	}
	good(t, "load", "--alpha", a.url, "-c", "c", "-f", lines)
	a.stop(t)
}
