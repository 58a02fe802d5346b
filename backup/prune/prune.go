// Package prune removes backups that a policy does not ask for any more: whole
// series, or the trailing incrementals of one, and what dead backups left.
//
// A series that is needed is never removed, whatever fails and whenever the
// process dies: manifests go first, the newest of a series before the others,
// so that what is left at any moment is whole series, shorter ones that restore
// as well, and debris that the next run takes up.
package prune

import (
	"context"
	"errors"
	"time"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
)

// Prune removes what Policy does not keep. Destination is required.
type Prune struct {
	Destination destination.Destination
	Policy      Policy
	Remove      bool          // false: tell what would be done and do nothing
	DebrisAge   time.Duration // of a folder without a manifest, before it goes; 0 means 24 h
	Owner       string        // who holds the lease meanwhile; "" means "brock prune"

	Progress *backup.Progress // may be nil
	Now      func() time.Time
}

// DefaultDebrisAge is far longer than a backup takes to be heard of.
const DefaultDebrisAge = 24 * time.Hour

// Action is what becomes of a series.
type Action string

// The actions. Trim removes trailing incrementals and keeps the rest.
const (
	Keep   Action = "keep"
	Trim   Action = "trim"
	Remove Action = "remove"
)

// Result is what was done, or would be.
type Result struct {
	Location string     `json:"location"`
	DryRun   bool       `json:"dry_run"`
	Series   []Decision `json:"series"`  // the one begun last comes last
	Debris   []Debris   `json:"debris"`  // folders of backups that died
	Damaged  []string   `json:"damaged"` // backups that are left alone because their manifests cannot be used
	Backups  int        `json:"removed_backups"`
	Bytes    int64      `json:"removed_bytes"` // as stored, of parts
}

// Decision is what becomes of a series, and why.
type Decision struct {
	BackupID string    `json:"backup_id"`
	Action   Action    `json:"action"`
	Reason   string    `json:"reason"`
	Backups  int       `json:"backups"`      // members before
	Oldest   time.Time `json:"oldest"`       // when the first was begun
	Newest   time.Time `json:"newest"`       // when the last was begun
	Bytes    int64     `json:"stored_bytes"` // of all of them
	Gone     []string  `json:"gone"`         // folders that go or have gone, newest first

	members []manifest.Stored // that go, newest first
}

// Debris is what becomes of a folder without a manifest.
type Debris struct {
	Path   string `json:"path"`
	Action Action `json:"action"` // Keep or Remove
	Reason string `json:"reason"`
}

// The phases of a run, in order.
const (
	PhaseJudge  = "judge"  // reading manifests, looking whether all objects are there
	PhaseRemove = "remove" // removing
)

func (p *Prune) defaults() (*Prune, error) {
	c := *p
	if c.Destination == nil {
		return nil, fault.New(fault.Usage, "prune", "Destination must be set")
	}
	if err := c.Policy.Check(); err != nil {
		return nil, err
	}
	if c.DebrisAge < 0 {
		return nil, fault.New(fault.Usage, "prune", "the age of debris is %v", c.DebrisAge)
	}
	if c.DebrisAge == 0 {
		c.DebrisAge = DefaultDebrisAge
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Owner == "" {
		c.Owner = "brock prune"
	}
	return &c, nil
}

// Run prunes and tells what became of every series. After an error the result
// tells what was done before it. A series that is being read, or that the
// destination retains, is kept and is no error.
func (p *Prune) Run(ctx context.Context) (*Result, error) {
	c, err := p.defaults()
	if err != nil {
		return nil, err
	}
	if !c.Remove {
		r, err := c.judge(ctx)
		if err == nil {
			r.sum()
			c.Progress.Enter(backup.PhaseDone)
		}
		return r, err
	}
	c.Progress.Enter(backup.PhaseLock)
	lease, err := destination.AcquireLease(ctx, c.Destination, destination.LeaseOptions{Owner: c.Owner, Purpose: "prune"})
	if err != nil {
		return nil, fault.Wrap(err, "prune %s", c.Destination)
	}
	r, err := c.leased(ctx, lease)
	const cleanUpTime = 30 * time.Second
	cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTime)
	defer cancel()
	if rerr := lease.Release(cleanup); err == nil && rerr != nil {
		err = fault.Wrap(rerr, "release the lease of %s (everything was pruned)", c.Destination)
	}
	if err == nil {
		c.Progress.Enter(backup.PhaseDone)
	}
	return r, err
}

// leased prunes while the lease is held.
func (p *Prune) leased(ctx context.Context, lease *destination.Lease) (*Result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-lease.Lost():
			cancel(fault.New(fault.Locked, "go on pruning", "the lease of the destination was lost"))
		case <-ctx.Done():
		}
	}()
	r, err := p.judge(ctx)
	if err != nil {
		return nil, cause(ctx, err)
	}
	p.Progress.Enter(PhaseRemove)
	err = destination.RemoveDeadMarks(ctx, p.Destination, p.Now())
	var refused error // by the destination: the other series are pruned all the same
	for i := 0; err == nil && i < len(r.Series); i++ {
		d := &r.Series[i]
		if d.Action == Keep {
			continue
		}
		if err = lease.Check(ctx); err == nil {
			err = p.removeSeries(ctx, d)
		}
		if fault.Is(err, fault.Denied) {
			refused, err = errors.Join(refused, err), nil
		}
	}
	for i := 0; err == nil && i < len(r.Debris); i++ {
		if d := &r.Debris[i]; d.Action == Remove {
			if err = p.removeDebris(ctx, d); fault.Is(err, fault.Denied) {
				refused, err = errors.Join(refused, err), nil
			}
		}
	}
	r.sum()
	return r, fault.Wrap(cause(ctx, errors.Join(err, refused)), "prune %s", p.Destination)
}

// cause puts the reason for a cancellation in place of "context canceled".
func cause(ctx context.Context, err error) error {
	if c := context.Cause(ctx); c != nil && errors.Is(err, context.Canceled) && !errors.Is(c, context.Canceled) {
		return c
	}
	return err
}

// sum counts what goes or has gone.
func (r *Result) sum() {
	r.Backups, r.Bytes = 0, 0
	for i := range r.Series {
		d := &r.Series[i]
		r.Backups += len(d.Gone)
		for _, m := range d.members[:len(d.Gone)] {
			r.Bytes += m.StoredBytes
		}
	}
}
