package systest

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/systest/servers"
)

// TestResumedAtStore cuts a backup to MinIO off by kill -9 of the alpha. Asked
// again, the backup keeps what was sent and sends the rest alone.
func TestResumedAtStore(t *testing.T) {
	m := startBucket(t)
	proxy := servers.StartProxy(t, m.Address)
	var sent atomic.Int64 // bytes of parts
	var noted atomic.Bool
	proxy.Do(func(r *http.Request) servers.Fault {
		if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, ".backup") {
			sent.Add(r.ContentLength)
		}
		if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/resume.0002") { // the first one is stored
			noted.Store(true)
		}
		return servers.None
	})
	location := "minio://" + proxy.Address + "/backups/resumed?secure=false"
	a := startAlpha(t, t.TempDir(), "--max_bandwidth", "2MB")
	state := model{}
	a.load(t, state, ballastRef, ballast(10<<10))
	ask := func() string {
		t.Helper()
		var queued struct{ Backup struct{ TaskID string } }
		err := a.Admin(t.Context(), `mutation($to: String!) { backup(input: {destination: $to, forceFull: true, chunkSizeMB: 2, compressionLevel: NoCompression}) { taskId } }`,
			map[string]any{"to": location}, &queued)
		if err != nil {
			t.Fatal(err)
		}
		return queued.Backup.TaskID
	}
	id := ask()
	for began := time.Now(); !noted.Load(); time.Sleep(3 * time.Millisecond) {
		if got, err := a.task(t, id); err != nil || got.over() || time.Since(began) > processDeadline {
			t.Fatalf("nothing was noted: %+v, %v", got, err)
		}
	}
	a.kill(t)
	a = startAlpha(t, a.dir)
	sent.Store(0)
	id = ask()
	ended := a.await(t, id, task.over)
	if ended.Status != "Success" {
		t.Fatalf("%+v", ended)
	}
	var answer struct {
		Task struct {
			Result struct {
				Resumed     backup.Resumed
				StoredBytes int64 `json:"stored_bytes"`
			}
		}
	}
	if err := a.Admin(t.Context(), fmt.Sprintf(`{ task(input: {id: %q}) { result } }`, id), nil, &answer); err != nil {
		t.Fatal(err)
	}
	r := answer.Task.Result.Resumed
	all := manifestOf(t, location, ended).StoredBytes
	t.Logf("%d of %d bytes were kept, %d sent", r.StoredBytes, all, sent.Load())
	if r.Parts == 0 || r.StoredBytes < 1<<20 || r.Afresh != "" {
		t.Errorf("the task says that it saved %+v", r)
	}
	if most := all - r.StoredBytes; sent.Load() > most+most/8 {
		t.Errorf("%d bytes were sent, %d were missing", sent.Load(), most)
	}
	good(t, "verify", "-l", location, "--level", "full")
	restored := startAlpha(t, restoreBackup(t, location, ended.BackupID, int(ended.BackupNum)).dir)
	restored.check(t, state, "the backup that went on")
	restored.stop(t)
	a.stop(t)
}
