package systest

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/brockdb/brock/systest/servers"
)

// startBucket starts MinIO with a bucket called backups, whose keys are in the
// environment of what is started from now on.
func startBucket(t *testing.T) *servers.MinIO {
	t.Helper()
	m := servers.StartMinIO(t, servers.MinIOOptions{})
	client, err := minio.New(m.Address, &minio.Options{Creds: credentials.NewStaticV4(m.AccessKey, m.SecretKey, "")})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.MakeBucket(t.Context(), "backups", minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Setenv("MINIO_ACCESS_KEY", m.AccessKey)
	t.Setenv("MINIO_SECRET_KEY", m.SecretKey)
	return m
}

// TestTaskTellsOfStall lets the storage of a backup go silent: the task says so
// while it waits, goes on, and another one that is canceled meanwhile ends soon.
func TestTaskTellsOfStall(t *testing.T) {
	m := startBucket(t)
	proxy := servers.StartProxy(t, m.Address)
	location := "minio://" + proxy.Address + "/backups/stall?secure=false"
	a := startAlpha(t, t.TempDir(), "--stall_timeout", "500ms")
	a.store(t, model{}, bankRef, putRecord{"k", []byte(`"v"`)})
	stalled := false
	proxy.Do(func(r *http.Request) servers.Fault {
		if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, ".parts") && !stalled {
			stalled = true
			return servers.Stall
		}
		return servers.None
	})
	id, err := a.submit(t, location, false)
	if err != nil {
		t.Fatal(err)
	}
	if done := a.await(t, id, task.over); done.Status != "Success" {
		t.Fatalf("%+v", done)
	}
	notice, notices := a.notice(t, id)
	if !stalled || notices < 2 || !strings.Contains(notice, "stalls: nothing has moved for 500ms") {
		t.Errorf("the task tells %d times, the last time %q", notices, notice)
	}

	// Now it stalls for good. The task is canceled once it has said so.
	proxy.Do(func(r *http.Request) servers.Fault {
		if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, ".backup") {
			return servers.Stall
		}
		return servers.None
	})
	if id, err = a.submit(t, location, true); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if _, notices = a.notice(t, id); notices > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the task does not say that its storage stalls")
		}
	}
	if err := a.Admin(t.Context(), `mutation($id: String!) { cancelTask(input: {id: $id}) { response { code } } }`, map[string]any{"id": id}, nil); err != nil {
		t.Fatal(err)
	}
	if done := a.await(t, id, task.over); done.Status != "Canceled" {
		t.Errorf("%+v", done)
	}
	a.stop(t)
}

// notice returns the last thing that a task waited for, and how many there were.
func (a *alpha) notice(t *testing.T, id string) (string, int) {
	t.Helper()
	var answer struct {
		Task struct {
			Progress struct {
				Notice  string
				Notices int
			}
		}
	}
	err := a.Admin(t.Context(), `query($id: String!) { task(input: {id: $id}) { progress { notice notices } } }`, map[string]any{"id": id}, &answer)
	if err != nil {
		t.Fatal(err)
	}
	return answer.Task.Progress.Notice, answer.Task.Progress.Notices
}

// TestTwoAlphasAtOneBucket is TestTwoAlphas, shorter, at a bucket of MinIO.
func TestTwoAlphasAtOneBucket(t *testing.T) {
	m := startBucket(t)
	random := newRandom(t)
	location := "minio://" + m.Address + "/backups/two?secure=false"
	var loops [2]*backupLoop
	var running sync.WaitGroup
	for i := range loops {
		l := &backupLoop{
			alpha: startAlpha(t, t.TempDir()), model: model{}, points: map[string]model{}, enough: 2,
			random: rand.New(rand.NewPCG(random.Uint64(), 3)), destination: location, name: fmt.Sprint("alpha ", i),
		}
		loops[i] = l
		running.Go(func() { l.run(t) })
	}
	running.Wait()
	if t.Failed() {
		t.FailNow()
	}
	for _, l := range loops {
		l.alpha.stop(t)
	}
	good(t, "verify", "-l", location, "--level", "full")
	all := list(t, location)
	if len(all) != len(loops[0].points)+len(loops[1].points) {
		t.Errorf("%d backups are listed, %d and %d succeeded", len(all), len(loops[0].points), len(loops[1].points))
	}
	for i, made := range all {
		point := loops[0].points[made.Path]
		if point == nil {
			point = loops[1].points[made.Path]
		}
		if point == nil {
			t.Errorf("nobody has made %s", made.Path)
		} else if i == len(all)-1 {
			b := startAlpha(t, restoreBackup(t, location, made.BackupID, made.BackupNum).dir)
			b.check(t, point, made.Path)
			b.stop(t)
		}
	}
}
