package worker

import (
	"context"
	"time"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/prune"
	"github.com/brockdb/brock/worker/task"
)

// PruneRequest asks for a prune.
type PruneRequest struct {
	Location    string // URI
	Keep        Retention
	Remove      bool // false: tell what would go
	Credentials destination.Credentials
}

// Retention is prune.Policy as requests and schedules say it.
type Retention struct {
	KeepLast    int           `json:"keep_last,omitempty"`
	KeepDaily   int           `json:"keep_daily,omitempty"`
	KeepWeekly  int           `json:"keep_weekly,omitempty"`
	KeepMonthly int           `json:"keep_monthly,omitempty"`
	OlderThan   time.Duration `json:"older_than,omitempty"` // nanoseconds
	Timezone    string        `json:"timezone,omitempty"`   // IANA name; "" means UTC
}

// IsZero reports whether there is no rule.
func (r Retention) IsZero() bool {
	r.Timezone = ""
	return r == Retention{}
}

// policy checks the rules.
func (r Retention) policy() (prune.Policy, error) {
	zone, err := loadZone(r.Timezone)
	if err != nil {
		return prune.Policy{}, err
	}
	p := prune.Policy{KeepLast: r.KeepLast, KeepDaily: r.KeepDaily, KeepWeekly: r.KeepWeekly, KeepMonthly: r.KeepMonthly,
		OlderThan: r.OlderThan, Location: zone}
	return p, p.Check()
}

// loadZone returns a time zone by its IANA name; "" means UTC.
func loadZone(name string) (*time.Location, error) {
	zone, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		return nil, fault.New(fault.Usage, "use time zone", "%.80q is no time zone", name).
			WithHint("name one of the IANA database, such as Europe/Berlin, or UTC")
	}
	return zone, nil
}

// PruneParams is what a prune keeps of its request.
type PruneParams struct {
	Location string    `json:"location"` // without secrets
	Keep     Retention `json:"keep"`
	DryRun   bool      `json:"dry_run"`
}

// Uses implements task.User.
func (p PruneParams) Uses() []task.Use {
	access := task.Remove
	if p.DryRun {
		access = task.Read
	}
	return []task.Use{{Location: p.Location, Access: access}}
}

// SubmitPrune queues a prune and returns the task's id. The result of the task
// says of every series what became of it and why.
func (n *Node) SubmitPrune(ctx context.Context, q PruneRequest) (taskID string, err error) {
	policy, err := q.Keep.policy()
	if err != nil {
		return "", err
	}
	d, err := n.openDestination(ctx, q.Location, q.Credentials)
	if err != nil {
		return "", err
	}
	params := PruneParams{Location: d.String(), Keep: q.Keep, DryRun: !q.Remove}
	return n.tasks.Submit(ctx, task.Prune, params, func(ctx context.Context, p *backup.Progress) (any, error) {
		return n.prune(ctx, d, policy, q.Remove, p)
	})
}

// prune prunes a destination now.
func (n *Node) prune(ctx context.Context, d destination.Destination, policy prune.Policy, remove bool, p *backup.Progress) (*prune.Result, error) {
	run := prune.Prune{Destination: d, Policy: policy, Remove: remove, Owner: n.options.Owner, Progress: p, Now: n.options.Now}
	return run.Run(ctx)
}
