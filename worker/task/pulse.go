package task

import (
	"context"
	"time"

	"github.com/golang/glog"

	"github.com/brockdb/brock/backup"
)

const (
	// pulseEvery is how often a running task is looked after.
	pulseEvery = time.Second
	// pulsesStored is every how many pulses its record is stored with them: what
	// is found after a crash is at most that old.
	pulsesStored = 30
)

// startPulse looks after a running task until stop is called: it says that this
// process still does, and measures the speed. When stop returns, nothing more is
// stored of it.
func (q *Queue) startPulse(ctx context.Context, e *entry) (stop func()) {
	quit, ended := make(chan struct{}), make(chan struct{})
	q.mu.Lock()
	e.speed.sample(q.now(), 0)
	q.mu.Unlock()
	go func() {
		defer close(ended)
		tick := time.NewTicker(pulseEvery)
		defer tick.Stop()
		for n := 1; ; n++ {
			select {
			case <-quit:
				return
			case <-tick.C:
			}
			r := q.beat(e)
			if n%pulsesStored != 0 {
				continue
			}
			if err := put(ctx, q.records, r); err != nil {
				glog.Warningf("the heartbeat of a running task is not recorded: %v", err)
			}
		}
	}()
	return func() {
		close(quit)
		<-ended
	}
}

// beat is one pulse. It returns the record as it is to be stored.
func (q *Queue) beat(e *entry) record {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.view(e) // takes over the progress
	e.record.Heartbeat = q.now()
	e.speed.sample(e.record.Heartbeat, e.record.Progress.RawBytes)
	return e.record
}

// speed knows how much was done at the latest pulses.
type speed struct {
	samples [11]sample // the last of them is the newest; 10 seconds
	n       int
}

type sample struct {
	at  time.Time
	raw int64
}

func (s *speed) sample(at time.Time, raw int64) {
	copy(s.samples[:], s.samples[1:])
	s.samples[len(s.samples)-1] = sample{at, raw}
	s.n = min(s.n+1, len(s.samples))
}

func (s *speed) bytesPerSecond() float64 {
	if s.n < 2 {
		return 0
	}
	oldest, newest := s.samples[len(s.samples)-s.n], s.samples[len(s.samples)-1]
	return perSecond(newest.raw-oldest.raw, newest.at.Sub(oldest.at))
}

func perSecond(n int64, in time.Duration) float64 {
	if in <= 0 {
		return 0
	}
	return float64(n) / in.Seconds()
}

// remaining is how long what is left takes at the present speed; 0 when either
// is not known.
func remaining(p backup.ProgressView, bytesPerSecond float64) time.Duration {
	left := p.TotalBytes - p.RawBytes
	if left <= 0 || bytesPerSecond <= 0 {
		return 0
	}
	const most = 365 * 24 * time.Hour
	return time.Duration(min(float64(left)/bytesPerSecond, most.Seconds()) * float64(time.Second))
}
