package admin

import (
	"context"
	"time"

	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/worker"
)

// Planner is what the resolvers of schedules need of a node.
type Planner interface {
	CreateSchedule(ctx context.Context, q worker.ScheduleRequest) (*worker.Scheduled, error)
	DeleteSchedule(ctx context.Context, name string) error
	Schedules() ([]worker.Scheduled, error)
	BackupHealth(ctx context.Context, only string, credentials destination.Credentials) ([]worker.BackupHealth, error)
}

// defaultJitter spreads what begins on the minute everywhere.
const defaultJitter = 30 * time.Second

func (m mutation) CreateSchedule(ctx context.Context, input CreateScheduleInput) (*SchedulePayload, error) {
	keep, err := retention(input.Retention)
	if err != nil {
		return nil, err
	}
	jitter := defaultJitter
	if input.JitterSeconds != nil {
		const most = 3600
		if *input.JitterSeconds < 0 || *input.JitterSeconds > most {
			return nil, fault.New(fault.Usage, "create schedule", "jitterSeconds is %d; it must be from 0 to %d", *input.JitterSeconds, most)
		}
		jitter = time.Duration(*input.JitterSeconds) * time.Second
	}
	made, err := m.Node.CreateSchedule(ctx, worker.ScheduleRequest{
		Name: input.Name, Cron: input.Cron, Timezone: value(input.Timezone), Jitter: jitter,
		Job: worker.ScheduledBackup{
			Destination: input.Destination, FullEvery: value(input.FullEvery), Keep: keep,
			Selection: selection(input.Include, input.Exclude, input.Namespaces),
			Tuning: worker.Tuning{
				CPUPercentage: input.CPUPercentage, ChunkSizeMB: input.ChunkSizeMb, CompressionLevel: string(value(input.CompressionLevel)),
			},
		},
	})
	if err != nil {
		return nil, err
	}
	return &SchedulePayload{Response: success("Schedule " + made.Name + " created"), Schedule: schedulePayload(made)}, nil
}

func (m mutation) DeleteSchedule(ctx context.Context, name string) (*DeleteSchedulePayload, error) {
	if err := m.Node.DeleteSchedule(ctx, name); err != nil {
		return nil, err
	}
	return &DeleteSchedulePayload{Response: success("Schedule " + name + " deleted")}, nil
}

func (q query) Schedules(context.Context) ([]*Schedule, error) {
	all, err := q.Node.Schedules()
	if err != nil {
		return nil, err
	}
	list := make([]*Schedule, len(all))
	for i := range all {
		list[i] = schedulePayload(&all[i])
	}
	return list, nil
}

func schedulePayload(s *worker.Scheduled) *Schedule {
	p := &Schedule{
		Name: s.Name, Cron: s.Cron, Timezone: s.Timezone, Destination: s.Destination, FullEvery: unlessZero(s.FullEvery),
		JitterSeconds: int(s.Jitter / time.Second), CreatedAt: s.CreatedAt, NextRun: unlessZero(s.Next), LastSkipped: unlessZero(s.Skipped),
	}
	if p.Timezone == "" {
		p.Timezone = "UTC"
	}
	if k := s.Keep; !k.IsZero() {
		p.Retention = &Retention{KeepLast: unlessZero(k.KeepLast), KeepDaily: unlessZero(k.KeepDaily), KeepWeekly: unlessZero(k.KeepWeekly),
			KeepMonthly: unlessZero(k.KeepMonthly), OlderThanSeconds: unlessZero(int64(k.OlderThan / time.Second))}
	}
	if last := s.Last; last != nil {
		status, missed := TaskStatus(last.Status), last.Missed
		p.LastRun, p.LastTaskID, p.LastStatus = unlessZero(last.At), unlessZero(last.TaskID), &status
		p.LastMessage, p.LastMissed = unlessZero(last.Message), &missed
	}
	return p
}

func (q query) BackupStatus(ctx context.Context, only *string) ([]*BackupStatus, error) {
	all, err := q.Node.BackupHealth(ctx, value(only), destination.Credentials{})
	if err != nil {
		return nil, err
	}
	list := make([]*BackupStatus, len(all))
	for i := range all {
		list[i] = statusPayload(&all[i], time.Now())
	}
	return list, nil
}

func statusPayload(h *worker.BackupHealth, now time.Time) *BackupStatus {
	p := &BackupStatus{
		Destination: h.Destination, LastSuccess: unlessZero(h.LastSuccess), BackupID: unlessZero(h.BackupID),
		ChainLength: h.Chain, ChainBytes: h.StoredBytes, Backups: h.Backups, StoredBytes: h.AllBytes,
		Schedules: append([]string{}, h.Schedules...), NextRun: unlessZero(h.NextRun),
		NextIsFull: h.NextFull != "", NextFullReason: unlessZero(h.NextFull), Warnings: append([]string{}, h.Warnings...),
	}
	if !h.LastSuccess.IsZero() {
		p.AgeSeconds = secondsOf(now.Sub(h.LastSuccess))
	}
	if pin := h.Pin; pin != nil {
		held := pin.ReadTs > 0
		p.Pin = &DeletePin{Held: held, DroppedReason: unlessZero(pin.Dropped)}
		if held {
			p.Pin.Since, p.Pin.AgeSeconds, p.Pin.ReadTs = &pin.Since, secondsOf(now.Sub(pin.Since)), &pin.ReadTs
			p.Pin.GrowthBytes = &pin.GrowthBytes
			if h.PinMaxAge >= 0 {
				p.Pin.MaxAgeSeconds = secondsOf(h.PinMaxAge)
			}
		}
	}
	return p
}

func secondsOf(d time.Duration) *int64 {
	seconds := int64(d / time.Second)
	return &seconds
}
