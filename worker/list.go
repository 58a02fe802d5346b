package worker

import (
	"context"
	"time"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
)

// ListRequest asks what backups there are. All conditions must hold; the zero
// value of each holds for every backup. They are about when a backup was begun.
type ListRequest struct {
	Location    string // URI
	SinceDate   string // YYYY-MM-DD in UTC, or RFC 3339: at or after
	UntilDate   string // the same: at or before; a date means its end
	LastNDays   int    // within so many times 24 hours
	Credentials destination.Credentials
}

// Listed is what ListBackups found.
type Listed struct {
	Manifests []*manifest.Manifest // by series, the one begun last comes last; then by number
	Damaged   []backup.Damaged     // manifests that cannot be used
}

// ListBackups returns the backups at a location.
func (n *Node) ListBackups(ctx context.Context, q ListRequest) (*Listed, error) {
	wanted, err := q.period(n.options.Now())
	if err != nil {
		return nil, err
	}
	d, err := n.openDestination(ctx, q.Location, q.Credentials)
	if err != nil {
		return nil, err
	}
	listing, err := backup.List(destination.Briefly(ctx), d)
	if err != nil {
		return nil, err
	}
	found := new(Listed)
	for _, series := range listing.Series {
		for _, member := range series.Members {
			if wanted.holds(member.CreatedAt) {
				found.Manifests = append(found.Manifests, member.Manifest)
			}
		}
	}
	for _, damaged := range listing.Damaged {
		if begun, ok := manifest.FolderTime(damaged.Path); !ok || wanted.holds(begun) {
			found.Damaged = append(found.Damaged, damaged)
		}
	}
	return found, nil
}

// period is from and until, both included; a zero end is open.
type period struct{ from, until time.Time }

func (p period) holds(t time.Time) bool {
	return !t.Before(p.from) && (p.until.IsZero() || !t.After(p.until))
}

func (q *ListRequest) period(now time.Time) (p period, err error) {
	const mostDays = 36_500 // far from where a Duration overflows
	if q.LastNDays < 0 || q.LastNDays > mostDays {
		return p, fault.New(fault.Usage, "list backups", "lastNDays is %d; it must be from 0 to %d", q.LastNDays, mostDays)
	}
	if q.SinceDate != "" {
		if p.from, _, err = parseDate("sinceDate", q.SinceDate); err != nil {
			return p, err
		}
	}
	if q.UntilDate != "" {
		at, isDate, err := parseDate("untilDate", q.UntilDate)
		if err != nil {
			return p, err
		}
		if isDate {
			at = at.AddDate(0, 0, 1).Add(-time.Nanosecond)
		}
		p.until = at
	}
	if q.LastNDays > 0 {
		if begin := now.Add(-time.Duration(q.LastNDays) * 24 * time.Hour); begin.After(p.from) {
			p.from = begin
		}
	}
	if !p.until.IsZero() && p.until.Before(p.from) {
		return p, fault.New(fault.Usage, "list backups", "the period ends at %s, before it begins at %s",
			p.until.Format(time.RFC3339), p.from.Format(time.RFC3339))
	}
	return p, nil
}

// parseDate reads a date or a moment, and says which it was.
func parseDate(field, text string) (t time.Time, isDate bool, err error) {
	if t, err = time.Parse(time.DateOnly, text); err == nil {
		return t, true, nil
	}
	if t, err = time.Parse(time.RFC3339, text); err == nil {
		return t, false, nil
	}
	return t, false, fault.New(fault.Usage, "list backups", "%s is neither YYYY-MM-DD nor RFC 3339", field)
}
