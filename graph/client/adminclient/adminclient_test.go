package adminclient

import (
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Khan/genqlient/graphql"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/graph"
	"github.com/brockdb/brock/graph/client"
	"github.com/brockdb/brock/worker"
)

// newAdmin returns the /admin of a node with a store of its own.
func newAdmin(t *testing.T, o client.Options) graphql.Client {
	t.Helper()
	node, err := worker.Open(t.Context(), worker.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	server, err := graph.New(graph.Options{Version: "v1", AuthToken: "token"})
	if err != nil {
		t.Fatal(err)
	}
	server.Ready(node)
	serving := httptest.NewServer(server)
	alpha, err := client.New(serving.URL, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		alpha.Close()
		serving.Close()
		if err := node.Close(); err != nil {
			t.Error(err)
		}
	})
	return New(alpha)
}

func TestBackup(t *testing.T) {
	admin := newAdmin(t, client.Options{AuthToken: "token", Timeout: time.Minute})
	destination := filepath.Join(t.TempDir(), "b")
	queued, err := Backup(t.Context(), admin, BackupInput{Destination: destination})
	if err != nil {
		t.Fatal(err)
	}
	for begin := time.Now(); ; time.Sleep(2 * time.Millisecond) {
		answer, err := Task(t.Context(), admin, *queued.Backup.TaskId)
		if err != nil {
			t.Fatal(err)
		}
		if task := answer.Task; task.Status == TaskStatusSuccess {
			if task.Kind != TaskKindBackup || *task.Destination != destination || *task.BackupNum != 1 || task.FinishedAt == nil ||
				task.Message != nil || task.Progress.Fraction != 1 {
				t.Errorf("the task is %+v", task)
			}
			break
		} else if task.Status == TaskStatusFailed || time.Since(begin) > 30*time.Second {
			t.Fatalf("the task is %+v", task)
		}
	}
	all, err := Tasks(t.Context(), admin)
	if err != nil || len(all.Tasks) != 1 || all.Tasks[0].Id != *queued.Backup.TaskId {
		t.Errorf("the tasks are %+v, %v", all, err)
	}
	health, err := Health(t.Context(), admin)
	if err != nil || len(health.Health) != 1 || health.Health[0].Status != "healthy" || health.Health[0].Version != "v1" {
		t.Errorf("the health is %+v, %v", health, err)
	}
}

func TestErrors(t *testing.T) {
	admin := newAdmin(t, client.Options{AuthToken: "token"})
	_, err := Backup(t.Context(), admin, BackupInput{Destination: "relative"})
	if !fault.Is(err, fault.Usage) || fault.HintOf(err) == "" {
		t.Errorf("a relative destination: %v", err)
	}
	if _, err := Task(t.Context(), admin, "0x1"); !fault.Is(err, fault.NotFound) {
		t.Errorf("no such task: %v", err)
	}
	if _, err := Tasks(t.Context(), newAdmin(t, client.Options{})); !fault.Is(err, fault.Denied) {
		t.Errorf("without the token: %v", err)
	}
}

func TestTimeout(t *testing.T) {
	admin := newAdmin(t, client.Options{AuthToken: "token", Timeout: time.Nanosecond})
	_, err := Tasks(t.Context(), admin)
	if err == nil || fault.Is(err, fault.Canceled) || !strings.Contains(fault.HintOf(err), "--timeout") {
		t.Errorf("no time to answer: %v, hint %q", err, fault.HintOf(err))
	}
}
