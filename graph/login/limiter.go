package login

import (
	"sync"
	"time"
)

// Limiter slows down who guesses: after some failures a name must wait before it
// may try again, twice as long after each further one. It holds a bounded number
// of names; the ones that failed longest ago are forgotten first.
type Limiter struct {
	free    int           // failures without a wait
	longest time.Duration // of the waits
	names   int
	now     func() time.Time

	mu     sync.Mutex
	failed map[string]*failures
}

type failures struct {
	n     int
	last  time.Time
	until time.Time
}

const (
	firstWait = time.Second
	forgetIn  = 15 * time.Minute // without a failure
)

// NewLimiter returns a limiter; now may be nil.
func NewLimiter(free int, longest time.Duration, names int, now func() time.Time) *Limiter {
	if now == nil {
		now = time.Now
	}
	return &Limiter{free: free, longest: longest, names: names, now: now, failed: make(map[string]*failures)}
}

// Wait returns how long a name has to wait; 0 lets it try.
func (l *Limiter) Wait(name string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.failed[name]
	if f == nil {
		return 0
	}
	return max(0, f.until.Sub(l.now()))
}

// Failed counts a failure.
func (l *Limiter) Failed(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	f := l.failed[name]
	if f == nil {
		if len(l.failed) >= l.names {
			l.makeRoom(now)
		}
		f = new(failures)
		l.failed[name] = f
	} else if now.Sub(f.last) >= forgetIn {
		*f = failures{}
	}
	f.n, f.last = f.n+1, now
	if over := f.n - l.free; over > 0 {
		wait := l.longest
		if shift := over - 1; shift < 20 {
			wait = min(wait, firstWait<<shift)
		}
		f.until = now.Add(wait)
	}
}

// Succeeded forgets the failures of a name.
func (l *Limiter) Succeeded(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.failed, name)
}

// makeRoom drops what is old and, if nothing is, the oldest tenth: it must not
// be looked for at every failure of an attack from many addresses.
func (l *Limiter) makeRoom(now time.Time) {
	oldest := now
	for name, f := range l.failed {
		if now.Sub(f.last) >= forgetIn {
			delete(l.failed, name)
		} else if f.last.Before(oldest) {
			oldest = f.last
		}
	}
	if len(l.failed) < l.names {
		return
	}
	before := oldest.Add(now.Sub(oldest) / 10)
	for name, f := range l.failed {
		if !f.last.After(before) {
			delete(l.failed, name)
		}
	}
}

// size returns how many names are known.
func (l *Limiter) size() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.failed)
}
