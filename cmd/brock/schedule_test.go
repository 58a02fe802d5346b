package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
)

func TestSchedule(t *testing.T) {
	t.Parallel()
	a := startAlpha(t, filepath.Join(t.TempDir(), "p"))
	me := call{env: []string{"BROCK_ALPHA=" + a.url}}
	to := filepath.Join(t.TempDir(), "b")
	created := me.run(t, "schedule", "create", "nightly", "--cron", "30 2 * * *", "--timezone", "Europe/Berlin", "-d", to,
		"--full_every", "7", "--keep_last", "14", "--older_than", "30d")
	created.expect(t, exitGood)
	if !strings.HasPrefix(created.stdout, "schedule nightly: the first backup at 2") {
		t.Errorf("create says %q", created.stdout)
	}
	me.run(t, "schedule", "create", "nightly", "--cron", "@daily", "-d", to).expect(t, exitError, "nightly")
	me.run(t, "schedule", "create", "bad", "--cron", "whenever", "-d", to).expect(t, exitUsage)
	me.run(t, "schedule", "create", "bad", "-d", to).expect(t, exitUsage, "cron")
	golden(t, "json-schedules.txt", settled(me.run(t, "schedule", "list", "--output", "json").stdout, to))
	if list := me.run(t, "schedule", "list").stdout; !strings.Contains(list, "nightly  30 2 * * *  Europe/Berlin") {
		t.Errorf("the schedules are\n%s", list)
	}
	if got := me.run(t, "__complete", "schedule", "delete", "").stdout; !strings.Contains(got, "nightly\n") {
		t.Errorf("brock schedule delete <TAB> gives %q", got)
	}

	me.run(t, "backup", "-d", to, "--wait").expect(t, exitGood)
	var status statusJSON
	text := me.run(t, "status", "--check", "--max_age", "1h", "--output", "json").stdout
	if err := json.Unmarshal([]byte(text), &status); err != nil || !status.Good || len(status.Backups) != 1 ||
		status.Backups[0].Backups != 1 || status.Backups[0].NextRun == nil || status.Backups[0].Schedules[0] != "nightly" {
		t.Errorf("the status is %s, %v", text, err)
	}
	me.run(t, "status", "-d", to+"2", "--check", "--max_age", "1h").expect(t, exitError, "there is no backup")

	me.run(t, "schedule", "delete", "nightly").expect(t, exitGood)
	me.run(t, "schedule", "delete", "nightly").expect(t, exitError, "nightly")
	if list := me.run(t, "schedule", "list"); list.stdout != "" || !strings.Contains(list.stderr, "there are no schedules") {
		t.Errorf("after the end there are %+v", list)
	}
	me.run(t, "schedule", "delet", "nightly").expect(t, exitUsage, `there is no command "delet"`, "did you mean brock schedule delete?")
}
