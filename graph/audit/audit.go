// Package audit writes down who did what to an alpha, as lines of JSON. What was
// said is not written down, only what was asked for: no secret can stand here.
package audit

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang/glog"
	"golang.org/x/time/rate"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/graph/caller"
)

// Outcome is what became of a request.
type Outcome string

// The outcomes.
const (
	Done    Outcome = "done"    // it was answered; of a task: it is queued
	Failed  Outcome = "failed"  // it was let through, and could not be done
	Refused Outcome = "refused" // it was not let through
)

// Event is one line.
type Event struct {
	Time    time.Time      `json:"time"`
	User    string         `json:"user,omitempty"`
	Role    caller.Role    `json:"role,omitempty"`
	Address string         `json:"address"`
	Path    string         `json:"path"`
	Action  string         `json:"action"` // a mutation's name, or the method
	Args    map[string]any `json:"args,omitempty"`
	Outcome Outcome        `json:"outcome"`
	Codes   []string       `json:"codes,omitempty"`  // of the errors
	Status  int            `json:"status,omitempty"` // of HTTP, where it is not 200
	// Suppressed is how many refusals before this line were not written down:
	// whoever knocks must not fill the disk.
	Suppressed int64 `json:"suppressed,omitempty"`
}

// Refusals are written down at this rate, in a second and at once.
const (
	refusalsPerSecond = 20
	refusalsAtOnce    = 200
)

// Log is a file that events are added to. Its methods may be called from many
// goroutines; a nil Log writes nothing.
type Log struct {
	name       string
	now        func() time.Time
	refusals   *rate.Limiter
	suppressed atomic.Int64
	lost       atomic.Int64

	mu   sync.Mutex
	file *os.File
}

// Open opens the file, which is made if it is missing, for its owner only.
func Open(name string) (*Log, error) {
	l := &Log{name: name, now: time.Now, refusals: rate.NewLimiter(refusalsPerSecond, refusalsAtOnce)}
	if err := l.Reopen(); err != nil {
		return nil, err
	}
	return l, nil
}

// Reopen goes on in a file of the same name, for what has renamed the old one.
// When that cannot be opened, the old one stays.
func (l *Log) Reopen() error {
	if l == nil {
		return nil
	}
	f, err := os.OpenFile(l.name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return &fault.Error{Kind: fault.Usage, Op: "open audit log", Err: err}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.file
	l.file = f
	if old == nil {
		return nil
	}
	return closed(old)
}

func closed(f *os.File) error {
	return fault.Wrap(errors.Join(f.Sync(), f.Close()), "close audit log")
}

// Close makes what was written durable.
func (l *Log) Close() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return closed(l.file)
}

// Lost returns how many events could not be written, each of which was logged.
func (l *Log) Lost() int64 {
	if l == nil {
		return 0
	}
	return l.lost.Load()
}

// Write adds an event, with its time.
func (l *Log) Write(e Event) {
	if l == nil {
		return
	}
	if e.Outcome == Refused && !l.refusals.AllowN(l.now(), 1) {
		l.suppressed.Add(1)
		return
	}
	e.Time, e.Suppressed = l.now().UTC(), l.suppressed.Swap(0)
	line, err := json.Marshal(e)
	if err == nil {
		l.mu.Lock()
		_, err = l.file.Write(append(line, '\n')) // one call: lines of two processes do not mix
		l.mu.Unlock()
	}
	if err != nil {
		l.lost.Add(1)
		glog.Errorf("%v", fault.Wrap(err, "write audit log"))
	}
}

// Arguments are those of an operation that are written down. All others, which
// may be secrets or records, are not.
var Arguments = [...]string{
	"backupId", "backupNum", "collection", "destination", "dryRun", "forceFull", "id", "incrementalFrom", "isPartial",
	"keepDays", "keepFulls", "level", "location", "name", "namespace", "schedule", "userId",
}

const maxText = 256

// Harmless takes from the text of an argument what must not be written down:
// user information and the query of a URI, and what makes it long.
func Harmless(text string) string {
	scheme, rest, uri := strings.Cut(text, "://")
	if !uri {
		if strings.ContainsAny(text, "@?#") {
			return "(not shown)"
		}
		return clip(text)
	}
	rest, _, _ = strings.Cut(rest, "?")
	rest, _, _ = strings.Cut(rest, "#")
	if at := strings.LastIndex(rest, "@"); at >= 0 {
		rest = rest[at+1:]
	}
	return clip(scheme + "://" + rest)
}

func clip(text string) string {
	if len(text) > maxText {
		return strings.ToValidUTF8(text[:maxText], "") + "…"
	}
	return text
}
