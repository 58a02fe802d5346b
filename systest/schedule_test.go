package systest

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/brockdb/brock/backup/fault"
)

// planned is a schedule as /admin tells it.
type planned struct {
	Name, Cron, Timezone, Destination string
	LastTaskID, LastStatus            string
	LastMissed                        bool
	LastMessage                       string
	NextRun, LastRun                  *time.Time
	FullEvery                         int
	Retention                         *struct{ KeepLast int }
}

func (a *alpha) schedules(t *testing.T) []planned {
	t.Helper()
	var answer struct{ Schedules []planned }
	err := a.Admin(t.Context(), `{ schedules { name cron timezone destination fullEvery retention { keepLast }
		nextRun lastRun lastTaskId lastStatus lastMissed lastMessage } }`, nil, &answer)
	if err != nil {
		t.Fatal(err)
	}
	return answer.Schedules
}

func (a *alpha) createSchedule(t *testing.T, input string) error {
	t.Helper()
	return a.Admin(t.Context(), `mutation { createSchedule(input: {`+input+`}) { response { message code } schedule { name nextRun } } }`, nil, nil)
}

// TestSchedule lets a schedule back up every second, with series of two backups
// of which the last three are kept, over a restart.
func TestSchedule(t *testing.T) {
	t.Parallel()
	a := startAlpha(t, t.TempDir())
	to := filepath.Join(t.TempDir(), "to")
	a.store(t, model{}, bankRef, putRecord{"k", []byte(`1`)})
	const often = `cron: "@every 1s", jitterSeconds: 0, fullEvery: 2, retention: {keepLast: 1}, compressionLevel: BestSpeed`
	if err := a.createSchedule(t, `name: "often", destination: "`+to+`", `+often); err != nil {
		t.Fatal(err)
	}
	for input, want := range map[string]struct {
		kind fault.Kind
		text string
	}{
		`name: "often", cron: "@daily", destination: "/b"`:                              {fault.Exists, "there is one of that name"},
		`name: "x", cron: "99 * * * *", destination: "/b"`:                              {fault.Usage, "cron"},
		`name: "x", cron: "@daily", destination: "b"`:                                   {fault.Usage, "cannot open destination"},
		`name: "x", cron: "@daily", destination: "` + a.dir + `/in"`:                    {fault.Usage, "inside the database's own directory"},
		`name: "x", cron: "@daily", destination: "/b", timezone: "Nowhere"`:             {fault.Usage, "is no time zone"},
		`name: "x", cron: "@daily", destination: "/b", jitterSeconds: 3601`:             {fault.Usage, "jitterSeconds is 3601"},
		`name: "x", cron: "@daily", destination: "/b", fullEvery: -1`:                   {fault.Usage, "fullEvery is -1"},
		`name: "x", cron: "@daily", destination: "/b", retention: {keepDaily: -1}`:      {fault.Usage, "keepDaily is below 0"},
		`name: "x", cron: "@daily", destination: "/b", retention: {olderThan: "never"}`: {fault.Usage, "is no time such as 30d"},
		`name: "x", cron: "@daily", destination: "/b", cpuPercentage: 99`:               {fault.Usage, "cpuPercentage is 99"},
	} {
		wantRefusal(t, a.createSchedule(t, input), want.kind, want.text, "")
	}
	made := func() (kinds []string) {
		for _, done := range a.tasks(t) {
			if done.Status == "Success" {
				kinds = append(kinds, done.Kind)
			}
		}
		return kinds
	}
	for !slices.Contains(made(), "Prune") || len(made()) < 6 {
		time.Sleep(20 * time.Millisecond) // between two looks
	}
	got := a.schedules(t)
	if len(got) != 1 || got[0].Name != "often" || got[0].Timezone != "UTC" || got[0].LastRun == nil || got[0].LastTaskID == "" ||
		got[0].NextRun == nil || got[0].FullEvery != 2 || got[0].Retention.KeepLast != 1 {
		t.Errorf("schedules: %+v", got)
	}
	a.stop(t)
	a = a.again(t)
	before := len(a.tasks(t))
	for len(a.tasks(t)) < before+2 {
		time.Sleep(20 * time.Millisecond)
	}
	err := a.Admin(t.Context(), `mutation { deleteSchedule(name: "often") { response { message code } } }`, nil, nil)
	if err != nil || len(a.schedules(t)) != 0 {
		t.Errorf("deleting: %v", err)
	}
	err = a.Admin(t.Context(), `mutation { deleteSchedule(name: "often") { response { code } } }`, nil, nil)
	wantRefusal(t, err, fault.NotFound, "there is none of the name", "")
	a.stop(t)
	all := list(t, to)
	if len(all) == 0 || len(all) > 6 {
		t.Fatalf("%d backups are left", len(all))
	}
	for _, m := range all {
		if m.BackupNum > 2 {
			t.Errorf("a series has a backup %d", m.BackupNum)
		}
	}
	good(t, "verify", "-l", to, "--level", "full")
}

// backupStatus is the state of one destination as /admin tells it.
type backupStatus struct {
	Destination, BackupID, NextFullReason string
	LastSuccess                           *time.Time
	AgeSeconds, ChainBytes, StoredBytes   int64
	ChainLength, Backups                  int
	Schedules, Warnings                   []string
	NextRun                               *time.Time
	NextIsFull                            bool
	Pin                                   *struct {
		Held                                   bool
		Since                                  *time.Time
		AgeSeconds, MaxAgeSeconds, GrowthBytes *int64
		DroppedReason                          string
	}
}

func (a *alpha) status(t *testing.T, argument string) []backupStatus {
	t.Helper()
	var answer struct{ BackupStatus []backupStatus }
	err := a.Admin(t.Context(), `{ backupStatus`+argument+` { destination lastSuccess ageSeconds backupId chainLength chainBytes backups
		storedBytes schedules nextRun nextIsFull nextFullReason warnings
		pin { held since ageSeconds maxAgeSeconds growthBytes droppedReason } } }`, nil, &answer)
	if err != nil {
		t.Fatal(err)
	}
	return answer.BackupStatus
}

func TestBackupStatus(t *testing.T) {
	t.Parallel()
	a := startAlpha(t, t.TempDir(), "--pin_max_age", "10h", "--pin_max_growth_mb", "100")
	if got := a.status(t, ""); len(got) != 0 {
		t.Errorf("without any backup: %+v", got)
	}
	to := t.TempDir()
	if got := a.status(t, `(destination: "`+to+`")`); len(got) != 1 || !got[0].NextIsFull || len(got[0].Warnings) != 1 || got[0].Pin != nil {
		t.Errorf("of an empty destination: %+v", got)
	}
	a.store(t, model{}, bankRef, putRecord{"k", []byte(`1`)})
	a.backup(t, to, false)
	a.store(t, model{}, bankRef, putRecord{"l", []byte(`1`)})
	last := a.backup(t, to, false)
	got := a.status(t, "")
	if len(got) != 1 {
		t.Fatalf("%+v", got)
	}
	s := got[0]
	if s.Destination != to || s.BackupID != last.BackupID || s.ChainLength != 2 || s.Backups != 2 || s.StoredBytes == 0 || s.LastSuccess == nil ||
		s.NextIsFull || len(s.Warnings) != 0 || s.Pin == nil || !s.Pin.Held || *s.Pin.MaxAgeSeconds != 36_000 || s.Pin.Since == nil || s.Pin.GrowthBytes == nil {
		t.Errorf("of a good series: %+v, pin %+v", s, s.Pin)
	}
	if err := a.createSchedule(t, `name: "yearly", cron: "0 0 1 1 *", destination: "`+to+`"`); err != nil {
		t.Fatal(err)
	}
	s = a.status(t, "")[0]
	if !slices.Equal(s.Schedules, []string{"yearly"}) || s.NextRun == nil || len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0], "--pin_max_age") {
		t.Errorf("with a pin that is dropped before the next run: %+v", s)
	}
	a.stop(t)
	a = startAlpha(t, a.dir, "--pin_max_age", "1ms")
	a.store(t, model{}, bankRef, putRecord{"m", []byte(`1`)})
	s = a.status(t, "")[0]
	for s.Pin.Held { // the store looks at its own pace
		time.Sleep(20 * time.Millisecond)
		s = a.status(t, "")[0]
	}
	if !s.NextIsFull || !strings.Contains(s.NextFullReason, "its delete pin was dropped after 1ms") || s.Pin.DroppedReason == "" ||
		!slices.ContainsFunc(s.Warnings, func(w string) bool { return strings.Contains(w, "has to be full") }) {
		t.Errorf("without a pin: %+v, %+v", s, s.Pin)
	}
	a.stop(t)
}
