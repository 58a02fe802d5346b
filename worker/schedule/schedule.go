// Package schedule starts tasks at set times. Schedules are kept in the store,
// without secrets: what they need to reach a destination comes from the
// environment of the process.
package schedule

import (
	"context"
	"encoding/json"
	"regexp"
	"time"

	"github.com/brockdb/brock/backup/fault"
)

// Schedule says what is to be run when. Job is the runner's own.
type Schedule struct {
	Name      string          `json:"name"`
	Cron      string          `json:"cron"`
	Timezone  string          `json:"timezone,omitempty"` // IANA name; "" means UTC
	Jitter    time.Duration   `json:"jitter"`             // each run begins up to so much later
	Job       json.RawMessage `json:"job"`
	CreatedAt time.Time       `json:"created_at"`
}

// Run is what the last run of a schedule came to.
type Run struct {
	At      time.Time `json:"at"` // when it was started
	TaskID  string    `json:"task_id,omitempty"`
	Status  string    `json:"status"` // of the task; Failed without one when it could not be started
	Message string    `json:"message,omitempty"`
	Missed  bool      `json:"missed,omitempty"` // it was started late, because the process was down
}

// State is a schedule and how it goes.
type State struct {
	Schedule
	Last    *Run      `json:"last,omitempty"`
	Skipped time.Time `json:"skipped,omitzero"` // when a run was left out last, because the one before had not ended
	Next    time.Time `json:"-"`                // without the jitter
}

// record is a schedule as it is stored.
type record struct {
	State
	// Done is up to when the times of the schedule have been dealt with.
	Done time.Time `json:"done"`
}

// Records keeps small records, as in package task.
type Records interface {
	PutLocal(ctx context.Context, space, key string, value []byte) error
	DeleteLocal(ctx context.Context, space, key string) error
	ScanLocal(ctx context.Context, space string, visit func(key string, value []byte) error) error
}

// Runner runs what is scheduled.
type Runner interface {
	// Start starts a run and returns its task's id.
	Start(ctx context.Context, s Schedule) (taskID string, err error)
	// Ended returns the status and message of a task, and whether it is over. A
	// task that is not known is over, with an empty status.
	Ended(taskID string) (status, message string, over bool)
}

const (
	space = "schedule"

	// MaxJitter bounds the jitter of a schedule.
	MaxJitter = time.Hour
	maxNumber = 1000 // of schedules
	maxGap    = time.Minute
	spareTime = time.Minute // a run that begins later was missed
	// A clock that is set back further than this stood ahead before: what was
	// done by it does not count, or nothing would run until that time comes.
	setBack = time.Hour
)

var namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// check refuses what cannot be run.
func (s *Schedule) check() (times, error) {
	const op = "use schedule"
	switch {
	case !namePattern.MatchString(s.Name):
		return times{}, fault.New(fault.Usage, op, "name %.80q is not made of up to 64 letters, digits, dots, dashes and underscores", s.Name)
	case s.Jitter < 0 || s.Jitter > MaxJitter:
		return times{}, fault.New(fault.Usage, op, "the jitter %v is not from 0 to %v", s.Jitter, MaxJitter)
	}
	return parse(s.Cron, s.Timezone)
}
