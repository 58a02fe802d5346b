package destination

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/brockdb/brock/backup/fault"
)

// A mark says that somebody is at work on a series: brock.marks/<nonce> is a
// small object that names the series, expires, and is renewed meanwhile. Readers
// (restore, verify, copy, export) mark what they read, who removes (prune) marks
// what it is about to remove. Each stores its mark first and looks for the marks
// of the other side then, so that of a reader and a remover that meet, at least
// one sees the other and leaves the series alone.
//
// The lease does not do that: many may read at a time, and a reader often has no
// permission to write. Then it goes on without a mark, and a removal shows to it
// as an object that is missing.

const (
	markDir       = "brock.marks"
	markTTL       = 10 * time.Minute // how long its holder may be silent
	maxMarkBytes  = 64 << 10
	maxMarkSeries = 1024
)

// The purposes of marks that package destination knows itself. A mark of any
// other purpose is a reader's.
const removing = "remove"

// MarkOptions describe who marks and what.
type MarkOptions struct {
	Owner   string           // for people; "" means this program
	Purpose string           // what the series is read for, as "restore"
	Series  []string         // backup ids
	Now     func() time.Time // the clock, for tests; nil means time.Now
}

// Mark is held from MarkReading or MarkRemoving until Release.
type Mark struct {
	dest  Destination
	name  string
	nonce string
	now   func() time.Time
	stop  context.CancelFunc
	done  chan struct{}

	mu     sync.Mutex
	record markRecord
}

// markRecord is the content of a mark.
type markRecord struct {
	leaseRecord
	Series []string `json:"series"`
}

// names reports whether the mark names one of the series.
func (r *markRecord) names(series []string) bool {
	return slices.ContainsFunc(series, func(id string) bool { return slices.Contains(r.Series, id) })
}

// MarkReading says at d that the series are read from now on, until Release. A
// destination that cannot be written to is read without a mark: Release does
// nothing then. The error is of kind Locked when one of the series is being
// removed.
//
// What was looked at before must be looked at again afterwards, whether it is
// still there.
func MarkReading(ctx context.Context, d Destination, o MarkOptions) (*Mark, error) {
	if o.Purpose == removing {
		return nil, fault.New(fault.Usage, "mark series at "+d.String(), "the purpose %q is not a reader's", o.Purpose)
	}
	m := newMark(d, o)
	if err := m.write(ctx, Exclusive); err != nil {
		close(m.done)
		if ctx.Err() != nil {
			return nil, fault.Wrap(err, "mark what is read at %s", d)
		}
		m.name = ""
	} else {
		m.start(ctx)
	}
	others, err := ReadMarks(ctx, d, m.now())
	if err == nil {
		for _, other := range others {
			if other.Removing && other.holds(o.Series) {
				err = fault.New(fault.Locked, "read series at "+d.String(), "%s is removing it", other.Holder).
					WithHint("choose another series, or try again when it is done")
			}
		}
	} else if ctx.Err() == nil {
		err = nil // who may read objects and not list marks goes on without
	}
	if err != nil {
		return nil, also(err, m.Release(context.WithoutCancel(ctx)))
	}
	return m, nil
}

// MarkRemoving says at d that the series is about to be removed. The error is of
// kind Locked while somebody reads it. The lease must be held.
func MarkRemoving(ctx context.Context, d Destination, o MarkOptions) (*Mark, error) {
	o.Purpose = removing
	m := newMark(d, o)
	if err := m.write(ctx, Exclusive); err != nil {
		close(m.done)
		return nil, fault.Wrap(err, "mark what is removed at %s", d)
	}
	m.start(ctx)
	others, err := ReadMarks(ctx, d, m.now())
	if err == nil {
		for _, other := range others {
			if !other.Removing && other.holds(o.Series) {
				err = fault.New(fault.Locked, "remove series "+strings.Join(o.Series, ", "), "%s is reading it (%s)", other.Holder, other.Purpose).
					WithHint("try again when it is done; what died is forgotten after %v", markTTL+skewMargin(markTTL))
			}
		}
	}
	if err != nil {
		return nil, also(err, m.Release(context.WithoutCancel(ctx)))
	}
	return m, nil
}

func newMark(d Destination, o MarkOptions) *Mark {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Owner == "" {
		o.Owner = "brock"
	}
	self, err := currentProcess()
	if err != nil {
		self = process{Host: "unknown host"}
	}
	nonce := rand.Text()
	return &Mark{
		dest: d, name: markDir + "/" + nonce, nonce: nonce, now: o.Now, done: make(chan struct{}), stop: func() {},
		record: markRecord{
			leaseRecord: leaseRecord{Owner: o.Owner, Purpose: o.Purpose, Nonce: nonce, process: self, AcquiredAt: o.Now().UTC()},
			Series:      slices.Clone(o.Series),
		},
	}
}

// write stores the mark with a new time of expiry.
func (m *Mark) write(ctx context.Context, mode Mode) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now().UTC()
	m.record.RenewedAt, m.record.ExpiresAt = now, now.Add(markTTL)
	return writeJSON(ctx, m.dest, m.name, mode, &m.record)
}

// start renews the mark until Release.
func (m *Mark) start(ctx context.Context) {
	ctx, m.stop = context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer close(m.done)
		tick := time.NewTicker(markTTL / 3)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			// One that fails is tried again; when all do, the mark expires, and
			// a removal shows as an object that is missing.
			_ = m.write(ctx, Replace)
		}
	}()
}

// Release removes the mark. ctx must not be the canceled context of the work the
// mark was for. A nil Mark ignores it.
func (m *Mark) Release(ctx context.Context) error {
	if m == nil {
		return nil
	}
	m.stop()
	<-m.done
	if m.name == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, giveUpTimeout)
	defer cancel()
	if err := m.dest.Remove(ctx, m.name); err != nil && !mayStay(err) {
		return fault.Wrap(err, "remove mark %s", m.name)
	}
	m.name = ""
	return nil
}
