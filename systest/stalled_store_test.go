package systest

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/brockdb/brock/systest/servers"
)

// stallingStore is an S3 server that answers some requests never.
type stallingStore struct {
	uri string

	mu      sync.Mutex
	method  string // of the requests that stall
	object  string // what is in their path
	after   int    // so many of them are answered
	stalled chan struct{}
	release chan struct{} // closed when what stalls may go
}

const (
	storeAccessKey = "brock-root"
	storeSecretKey = "brock-root-secret-key"
)

func newStallingStore(t *testing.T) *stallingStore {
	t.Helper()
	m := servers.StartMinIO(t, servers.MinIOOptions{})
	if m.AccessKey != storeAccessKey || m.SecretKey != storeSecretKey {
		t.Fatal("MinIO has other keys")
	}
	if err := os.Mkdir(filepath.Join(m.Dir, "bucket"), 0o755); err != nil {
		t.Fatal(err)
	}
	s := &stallingStore{stalled: make(chan struct{}, 1), release: make(chan struct{})}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: m.Address})
			r.Out.Host = r.In.Host // it is signed
		},
		FlushInterval: -1,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if release := s.stalls(r); release != nil {
			select { // a client that goes while it sends is not noticed
			case <-r.Context().Done():
			case <-release:
			}
			panic(http.ErrAbortHandler)
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { s.stall("", "", 0) })
	s.uri = "minio://" + strings.TrimPrefix(server.URL, "http://") + "/bucket/db?secure=false"
	return s
}

// stalls returns nil for a request that is to be answered.
func (s *stallingStore) stalls(r *http.Request) (release chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.method == "" || r.Method != s.method || !strings.Contains(r.URL.Path, s.object) {
		return nil
	}
	if s.after--; s.after >= 0 {
		return nil
	}
	select {
	case s.stalled <- struct{}{}:
	default:
	}
	return s.release
}

// stall has requests for some objects stall, after so many were answered; no
// method means none.
func (s *stallingStore) stall(method, object string, after int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.method, s.object, s.after = method, object, after
	close(s.release)
	s.stalled, s.release = make(chan struct{}, 1), make(chan struct{})
}

func (s *stallingStore) wait(t *testing.T) {
	t.Helper()
	select {
	case <-s.stalled:
	case <-time.After(processDeadline):
		t.Fatal("nothing stalls")
	}
}

// TestCanceledOnAStalledStore cancels backups and restores while an S3 server
// does not answer, in each phase that asks it something. A task is Canceled
// soon, the others behind it run, and nothing is half done.
func TestCanceledOnAStalledStore(t *testing.T) {
	t.Parallel()
	store := newStallingStore(t)
	watchSecret(t, storeSecretKey)
	a := startAlpha(t, t.TempDir())
	keys := ask{"accessKey": storeAccessKey, "secretKey": storeSecretKey}
	backup := func() string {
		t.Helper()
		var queued struct{ Backup struct{ TaskID string } }
		err := a.Admin(t.Context(), `mutation($input: BackupInput!) { backup(input: $input) { taskId } }`,
			map[string]any{"input": ask{"destination": store.uri, "accessKey": storeAccessKey, "secretKey": storeSecretKey}}, &queued)
		if err != nil {
			t.Fatal(err)
		}
		return queued.Backup.TaskID
	}
	cancel := func(id, what string) {
		t.Helper()
		store.wait(t)
		began := time.Now()
		a.cancel(t, id)
		done := a.await(t, id, task.over)
		if took := time.Since(began); done.Status != "Canceled" || took > time.Minute {
			t.Errorf("%s: after %v it ended as %+v", what, took, done)
		}
		store.stall("", "", 0)
	}
	m := model{}
	a.store(t, m, bankRef, putRecord{"k", []byte("1")})
	if done := a.await(t, backup(), task.over); done.Status != "Success" {
		t.Fatalf("%+v", done)
	}
	for _, object := range []string{"/brock.lease/", ".backup", "/manifest.json"} {
		a.store(t, m, bankRef, putRecord{object, []byte("1")})
		store.stall(http.MethodPut, object, 0)
		cancel(backup(), "a backup that stores "+object)
	}
	if done := a.await(t, backup(), task.over); done.Status != "Success" {
		t.Fatalf("%+v", done)
	}
	then := m.clone()
	a.store(t, m, bankRef, putRecord{"k", []byte("2")})
	keys["overwrite"] = true
	for _, object := range []string{"/manifest.json", ".parts", ".backup"} {
		const byTheMutation = 2 // there are two backups, and the mutation has asked for each
		store.stall(http.MethodGet, object, byTheMutation)
		id, err := a.submitRestore(t, store.uri, keys)
		if err != nil {
			t.Fatal(err)
		}
		cancel(id, "a restore that reads "+object)
		a.check(t, m, "after a canceled restore")
	}
	a.restoreOnline(t, store.uri, keys)
	a.check(t, then, "after the restore")
	a.stop(t)
}
