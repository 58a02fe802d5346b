package prune

import (
	"fmt"
	"time"

	"github.com/brockdb/brock/backup/fault"
)

// Policy says which backups are wanted. A backup is kept when any rule keeps it;
// a rule that is 0 keeps nothing. Without any rule every backup is kept, and
// only debris goes.
//
// What is counted are backups that can be restored, of each database (and each
// selection of collections) by itself. A series goes as a whole when none of its
// backups is kept; when some are, those after the last of them go.
type Policy struct {
	KeepLast    int // the newest so many backups
	KeepDaily   int // the newest backup of each of the last so many days that have one
	KeepWeekly  int // the same for weeks, which begin on Monday
	KeepMonthly int // the same for months

	// OlderThan keeps every backup that was begun within this time.
	OlderThan time.Duration

	Location *time.Location // where days begin; nil means UTC
}

// Check refuses rules below 0.
func (p *Policy) Check() error {
	for _, rule := range []struct {
		name  string
		value int64
	}{
		{"keepLast", int64(p.KeepLast)}, {"keepDaily", int64(p.KeepDaily)}, {"keepWeekly", int64(p.KeepWeekly)},
		{"keepMonthly", int64(p.KeepMonthly)}, {"olderThan", int64(p.OlderThan)},
	} {
		if rule.value < 0 {
			return fault.New(fault.Usage, "prune", "%s is below 0", rule.name).WithHint("0 leaves the rule out")
		}
	}
	return nil
}

// IsZero reports whether there is no rule.
func (p *Policy) IsZero() bool {
	return p.KeepLast == 0 && p.KeepDaily == 0 && p.KeepWeekly == 0 && p.KeepMonthly == 0 && p.OlderThan == 0
}

// choose says for each moment, newest first, which rule keeps it; "" for none.
func (p *Policy) choose(begun []time.Time, now time.Time) []string {
	reasons := make([]string, len(begun))
	location := p.Location
	if location == nil {
		location = time.UTC
	}
	keep := func(i int, reason string, args ...any) {
		if reasons[i] == "" {
			reasons[i] = fmt.Sprintf(reason, args...)
		}
	}
	for i := range begun[:min(p.KeepLast, len(begun))] {
		keep(i, "it is one of the last %d", p.KeepLast)
	}
	periods := func(n int, name string, of func(time.Time) string) {
		last := ""
		for i, t := range begun {
			period := of(t.In(location))
			if n == 0 {
				return
			}
			if period != last {
				keep(i, "it is the newest of %s %s", name, period)
				n--
			}
			last = period
		}
	}
	periods(p.KeepDaily, "day", func(t time.Time) string { return t.Format(time.DateOnly) })
	periods(p.KeepWeekly, "week", func(t time.Time) string {
		year, week := t.ISOWeek()
		return fmt.Sprintf("%d-W%02d", year, week)
	})
	periods(p.KeepMonthly, "month", func(t time.Time) string { return t.Format("2006-01") })
	for i, t := range begun {
		switch {
		case p.IsZero():
			keep(i, "no rule says that any may go")
		case p.OlderThan > 0 && now.Sub(t) < p.OlderThan:
			keep(i, "it is not older than %v", p.OlderThan)
		}
	}
	return reasons
}
