package schedule

import (
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/brockdb/brock/backup/fault"
)

// times says when a schedule runs: a cron expression in a time zone.
type times struct {
	spec cron.Schedule
	zone *time.Location
	wall bool // it names hours: each of its times on the clock comes once
}

// starBit is how package cron marks a field that is "*" or "*/n".
const starBit = 1 << 63

// parse reads five fields (minute, hour, day, month, weekday) or @daily and the
// like, and the name of a time zone; "" means UTC.
func parse(expression, zone string) (times, error) {
	const op = "use schedule"
	location, err := time.LoadLocation(zone)
	if err != nil || zone == "Local" {
		return times{}, fault.New(fault.Usage, op, "timezone %.80q is no time zone", zone).
			WithHint("name one of the IANA database, such as Europe/Berlin, or UTC")
	}
	const hint = "give minute, hour, day of month, month and weekday, such as 30 2 * * *, or @daily"
	if strings.HasPrefix(expression, "TZ=") || strings.HasPrefix(expression, "CRON_TZ=") {
		return times{}, fault.New(fault.Usage, op, "cron %.80q names a time zone", expression).WithHint("name it in timezone")
	}
	parser := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)
	spec, err := parser.Parse(expression)
	if err != nil {
		return times{}, fault.New(fault.Usage, op, "cron %.80q: %w", expression, err).WithHint("%s", hint)
	}
	t := times{spec: spec, zone: location}
	if fields, ok := spec.(*cron.SpecSchedule); ok {
		fields.Location = location
		if t.wall = fields.Hour&starBit == 0; t.wall {
			fields.Location = time.UTC
		}
	}
	if t.next(time.Now()).IsZero() {
		return times{}, fault.New(fault.Usage, op, "cron %.80q never comes", expression).WithHint("%s", hint)
	}
	return t, nil
}

// next returns the first time after t; zero when there is none within five years.
//
// Where clocks are set forward, a time that is skipped comes as much later as
// the clocks were set; where they are set back, a time that comes twice on the
// clock comes once. An expression without hours, such as "0 * * * *", goes by
// hours that pass.
func (s times) next(t time.Time) time.Time {
	if !s.wall {
		return s.spec.Next(t.In(s.zone))
	}
	const most = 100 // far more than clocks are ever set back
	clock := onClock(t.In(s.zone))
	for range most {
		if clock = s.spec.Next(clock); clock.IsZero() {
			return clock
		}
		at := time.Date(clock.Year(), clock.Month(), clock.Day(), clock.Hour(), clock.Minute(), clock.Second(), 0, s.zone)
		if shown := onClock(at); shown.Before(clock) { // skipped, and taken for the hour before
			at = at.Add(clock.Sub(shown))
		}
		if at.After(t) {
			return at
		}
	}
	return time.Time{}
}

// onClock is what a clock shows at t, as if it were UTC.
func onClock(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}
