package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/worker/store"
	"github.com/brockdb/brock/worker/task"
)

// BackupHealth is how it stands with the backups of this node at a destination.
type BackupHealth struct {
	Destination string
	LastSuccess time.Time // when the newest backup of this database was begun; zero for none
	BackupID    string    // of its series
	Chain       int       // backups in that series
	StoredBytes int64     // of that series
	Backups     int       // of this database, in all series
	AllBytes    int64     // of them
	Schedules   []string  // that back up there
	NextRun     time.Time // the earliest of theirs; zero for none
	Pin         *store.Pin
	PinMaxAge   time.Duration // negative: it is held for ever
	// NextFull says why the next backup would be a full; "" when it would be an
	// incremental.
	NextFull string
	// Warnings say what an operator should look at.
	Warnings []string
	// Err says why the destination could not be looked at, or the next backup
	// would be refused.
	Err error
}

// healthTimeout bounds what looking at one destination may take.
const healthTimeout = 20 * time.Second

// BackupHealth looks at the destinations that this node knows: those of its
// schedules, of its delete pins and of the backups that it remembers; at most
// at one when that is named.
func (n *Node) BackupHealth(ctx context.Context, only string, credentials destination.Credentials) ([]BackupHealth, error) {
	schedules, err := n.Schedules()
	if err != nil {
		return nil, err
	}
	pins := n.store.Pins()
	known, err := n.knownDestinations(ctx, only, schedules, pins)
	if err != nil {
		return nil, err
	}
	all := make([]BackupHealth, len(known))
	var wait sync.WaitGroup
	for i, uri := range known {
		all[i] = BackupHealth{Destination: uri, PinMaxAge: n.options.PinMaxAge}
		wait.Go(func() { n.look(ctx, &all[i], credentials, schedules, pins) })
	}
	wait.Wait()
	return all, nil
}

func (n *Node) knownDestinations(ctx context.Context, only string, schedules []Scheduled, pins []store.Pin) ([]string, error) {
	if only != "" {
		d, err := n.openDestination(ctx, only, destination.Credentials{})
		if err != nil {
			return nil, err
		}
		return []string{d.String()}, nil
	}
	var known []string
	for _, s := range schedules {
		known = append(known, s.Destination)
	}
	for _, p := range pins {
		known = append(known, p.Destination)
	}
	for _, t := range n.tasks.List() {
		var params BackupParams
		if t.Kind == task.Backup && json.Unmarshal(t.Params, &params) == nil {
			known = append(known, params.Destination)
		}
	}
	slices.Sort(known)
	return slices.Compact(known), nil
}

// look finds out how it stands with one destination.
func (n *Node) look(ctx context.Context, h *BackupHealth, credentials destination.Credentials, schedules []Scheduled, pins []store.Pin) {
	ctx, cancel := context.WithTimeoutCause(ctx, healthTimeout,
		fault.New(fault.Other, "look at "+h.Destination, "it did not answer within %v", healthTimeout))
	defer cancel()
	for _, s := range schedules {
		if s.Destination != h.Destination {
			continue
		}
		h.Schedules = append(h.Schedules, s.Name)
		if h.NextRun.IsZero() || s.Next.Before(h.NextRun) {
			h.NextRun = s.Next
		}
		if s.Last != nil && s.Last.Status == string(task.Failed) {
			h.Warnings = append(h.Warnings, fmt.Sprintf("the last run of schedule %s failed: %s", s.Name, s.Last.Message))
		}
	}
	b, err := n.newBackup(ctx, BackupRequest{Destination: h.Destination, Credentials: credentials}, nil)
	if err == nil {
		err = n.count(ctx, h, b.Destination)
	}
	for i := range pins {
		if pins[i].Destination == h.Destination && (h.BackupID == "" || pins[i].BackupID == h.BackupID) {
			h.Pin = &pins[i]
		}
	}
	if err == nil {
		h.NextFull, err = b.Next(ctx)
	}
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	h.Err = err
	h.warn()
}

// count sums up what this database has at a destination.
func (n *Node) count(ctx context.Context, h *BackupHealth, d destination.Destination) error {
	listing, err := backup.List(ctx, d)
	if err != nil {
		return err
	}
	for _, s := range listing.Series {
		if s.Newest().DBID != n.store.ID() {
			continue
		}
		h.BackupID, h.Chain, h.StoredBytes = s.BackupID, len(s.Members), 0
		for _, m := range s.Members {
			h.Backups++
			h.StoredBytes += m.StoredBytes
			h.AllBytes += m.StoredBytes
			if m.CreatedAt.After(h.LastSuccess) {
				h.LastSuccess = m.CreatedAt
			}
		}
	}
	for _, damaged := range listing.Damaged {
		h.Warnings = append(h.Warnings, damaged.Err.Error())
	}
	return nil
}

// warn says what an operator should know before it shows.
func (h *BackupHealth) warn() {
	add := func(format string, args ...any) { h.Warnings = append(h.Warnings, fmt.Sprintf(format, args...)) }
	switch {
	case h.Err != nil:
		add("the next backup would fail: %v", h.Err)
	case h.Chain == 0:
		add("there is no backup of this database")
	case h.NextFull != "":
		add("the next backup has to be full: %s", h.NextFull)
	case h.Pin == nil || h.Pin.Dropped != "" || h.PinMaxAge < 0 || h.NextRun.IsZero():
	case h.Pin.Since.Add(h.PinMaxAge).Before(h.NextRun):
		add("the delete pin is dropped at %s, before the next run at %s, which has to be full then: raise --pin_max_age",
			h.Pin.Since.Add(h.PinMaxAge).UTC().Format(time.RFC3339), h.NextRun.UTC().Format(time.RFC3339))
	}
}
