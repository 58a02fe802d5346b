package main

import (
	"time"

	"github.com/brockdb/brock/graph/client/adminclient"
)

// scheduleJSON is a schedule: docs/cli-json.md promises its form.
type scheduleJSON struct {
	Name          string         `json:"name"`
	Cron          string         `json:"cron"`
	Timezone      string         `json:"timezone"`
	Destination   string         `json:"destination"`
	FullEvery     *int           `json:"full_every"`
	Retention     *retentionJSON `json:"retention"`
	JitterSeconds int            `json:"jitter_seconds"`
	CreatedAt     time.Time      `json:"created_at"`
	NextRun       *time.Time     `json:"next_run"`
	LastRun       *time.Time     `json:"last_run"`
	LastTaskID    string         `json:"last_task_id,omitempty"`
	LastStatus    string         `json:"last_status,omitempty"`
	LastMessage   string         `json:"last_message,omitempty"`
}

type retentionJSON struct {
	KeepLast         int   `json:"keep_last,omitempty"`
	KeepDaily        int   `json:"keep_daily,omitempty"`
	KeepWeekly       int   `json:"keep_weekly,omitempty"`
	KeepMonthly      int   `json:"keep_monthly,omitempty"`
	OlderThanSeconds int64 `json:"older_than_seconds,omitempty"`
}

func newScheduleJSON(s *adminclient.ScheduleFields) scheduleJSON {
	j := scheduleJSON{
		Name: s.Name, Cron: s.Cron, Timezone: s.Timezone, Destination: s.Destination, FullEvery: s.FullEvery,
		JitterSeconds: s.JitterSeconds, CreatedAt: s.CreatedAt.UTC(), NextRun: inUTC(s.NextRun), LastRun: inUTC(s.LastRun),
		LastTaskID: orZero(s.LastTaskId), LastStatus: string(orZero(s.LastStatus)), LastMessage: orZero(s.LastMessage),
	}
	if r := s.Retention; r != nil {
		j.Retention = &retentionJSON{KeepLast: orZero(r.KeepLast), KeepDaily: orZero(r.KeepDaily), KeepWeekly: orZero(r.KeepWeekly),
			KeepMonthly: orZero(r.KeepMonthly), OlderThanSeconds: orZero(r.OlderThanSeconds)}
	}
	return j
}

func inUTC(at *time.Time) *time.Time {
	if at == nil {
		return nil
	}
	utc := at.UTC()
	return &utc
}
