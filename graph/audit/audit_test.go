package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/brockdb/brock/backup/fault"
)

func open(t *testing.T, name string) *Log {
	t.Helper()
	l, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			t.Error(err)
		}
	})
	return l
}

func read(t *testing.T, name string) (events []Event) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var e Event
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		events = append(events, e)
	}
	return events
}

// TestRotation renames the file under many writers: no line is lost or torn.
func TestRotation(t *testing.T) {
	name := filepath.Join(t.TempDir(), "audit")
	l := open(t, name)
	const writers, each = 8, 200
	var group sync.WaitGroup
	for range writers {
		group.Go(func() {
			for range each {
				l.Write(Event{User: strings.Repeat("u", 100), Action: "backup", Outcome: Done})
			}
		})
	}
	if err := os.Rename(name, name+".1"); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	group.Wait()
	l.Write(Event{Action: "last", Outcome: Done})
	first, second := read(t, name+".1"), read(t, name)
	if len(first)+len(second) != writers*each+1 || second[len(second)-1].Action != "last" || l.Lost() != 0 {
		t.Errorf("%d and %d lines, %d lost", len(first), len(second), l.Lost())
	}
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}

// TestKnockingDoesNotFillTheDisk writes some refusals down and counts the rest.
func TestKnockingDoesNotFillTheDisk(t *testing.T) {
	name := filepath.Join(t.TempDir(), "audit")
	l := open(t, name)
	clock := time.Unix(1_700_000_000, 0)
	l.now = func() time.Time { return clock }
	for range 1000 {
		l.Write(Event{Action: "POST", Outcome: Refused})
	}
	l.Write(Event{Action: "backup", Outcome: Done})
	clock = clock.Add(time.Second)
	for range 1000 {
		l.Write(Event{Action: "POST", Outcome: Refused})
	}
	l.Write(Event{Action: "login", Outcome: Done})
	events := read(t, name)
	if len(events) != refusalsAtOnce+1+refusalsPerSecond+1 {
		t.Errorf("%d lines", len(events))
	}
	if e := events[refusalsAtOnce]; e.Action != "backup" || e.Suppressed != 1000-refusalsAtOnce {
		t.Errorf("%+v", e)
	}
	if e := events[len(events)-1]; e.Suppressed != 1000-refusalsPerSecond {
		t.Errorf("%+v", e)
	}
}

func TestWhatCannotBeWrittenIsCounted(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "audit"))
	if err := l.file.Close(); err != nil {
		t.Fatal(err)
	}
	l.Write(Event{Action: "backup"})
	if l.Lost() != 1 {
		t.Errorf("%d lost", l.Lost())
	}
	if _, err := Open(filepath.Join(t.TempDir(), "missing", "audit")); !fault.Is(err, fault.Usage) {
		t.Error(err)
	}
	var none *Log
	none.Write(Event{})
	if none.Reopen() != nil || none.Close() != nil || none.Lost() != 0 {
		t.Error("a nil log does something")
	}
}

func TestHarmless(t *testing.T) {
	for text, want := range map[string]string{
		"/backups/db1":                           "/backups/db1",
		"s3:///bucket/p?secret_key=hunter2":      "s3:///bucket/p",
		"minio://id:hunter2@host:9000/bucket":    "minio://host:9000/bucket",
		"minio://id:hun@ter2@host/bucket":        "minio://host/bucket",
		"s3:///b#hunter2":                        "s3:///b",
		"id:hunter2@host/bucket":                 "(not shown)",
		"bucket?key=hunter2":                     "(not shown)",
		"gs://b/" + strings.Repeat("é", maxText): "gs://b/" + strings.Repeat("é", (maxText-7)/2) + "…",
	} {
		if got := Harmless(text); got != want {
			t.Errorf("%q became %q", text, got)
		}
	}
}
