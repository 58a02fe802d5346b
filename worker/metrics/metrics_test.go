package metrics

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
)

func text(t *testing.T, m *Metrics) string {
	t.Helper()
	res := httptest.NewRecorder()
	m.Handler().ServeHTTP(res, httptest.NewRequest("GET", "/metrics", nil))
	if res.Code != 200 {
		t.Fatalf("%d %s", res.Code, res.Body)
	}
	return res.Body.String()
}

// TestLabelsAreBounded sends what a hostile client or a strange server might.
func TestLabelsAreBounded(t *testing.T) {
	m := New("v1")
	before := strings.Count(text(t, m), "\n")
	for i := range 1000 {
		odd := fmt.Sprintf("odd%d\"\n", i)
		m.HTTP("other", odd, 200, time.Second)
		m.Call(destination.Call{Provider: odd, Op: odd, Object: odd, Err: errors.New(odd)})
		m.Request(destination.Request{Provider: odd, Op: odd, Status: i * 7, Retries: i % 2})
		m.BackupFailed(errors.New(odd))
		m.BackupDone(Backup{Type: odd})
	}
	after := text(t, m)
	if lines := strings.Count(after, "\n") - before; lines > 100 || strings.Contains(after, "odd") {
		t.Errorf("%d lines more:\n%s", lines, after)
	}
}

func TestOutcomes(t *testing.T) {
	for want, err := range map[string]error{
		"ok": nil, "other": errors.New("x"), "no_space": fault.New(fault.NoSpace, "write", "full"),
		"canceled": fault.Wrap(context.Canceled, "write"), "wrong_key": fault.Wrap(fault.New(fault.WrongKey, "a", "b"), "c"),
	} {
		if got := outcome(err); got != want {
			t.Errorf("%v is %s, not %s", err, got, want)
		}
	}
}

// TestNil holds that a node without metrics needs not to ask.
func TestNil(t *testing.T) {
	var m *Metrics
	m.BackupBegun()
	m.BackupFailed(nil)
	m.BackupDone(Backup{})
	m.BackupKnown(Backup{})
	m.TaskEnded("Backup", 0, nil)
	m.HTTP("/", "GET", 200, 0)
	m.Watch(nil)
	m.Register("x", "y", nil)
}

// TestTwo holds that there is no registry of the process: two nodes in one count
// apart.
func TestTwo(t *testing.T) {
	a, b := New("v1"), New("v2")
	a.BackupBegun()
	if !strings.Contains(text(t, a), "brock_backup_attempts_total 1\n") || !strings.Contains(text(t, b), "brock_backup_attempts_total 0\n") {
		t.Error("they count together")
	}
}
