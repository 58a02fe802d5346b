package vault

import (
	"context"
	"time"
)

// session is what keep keeps alive.
type session interface {
	login(context.Context) (lease, error)
	renew(context.Context) (lease, error)
}

const (
	leastWait    = time.Second
	longestRetry = time.Minute
)

// keep renews the token before it ends, and logs in again when it can no longer
// be renewed: because it must not, because Vault refuses, or because it has come
// to the end of its life, which shows in leases that get shorter. It returns
// when ctx is done.
func keep(ctx context.Context, s session, l lease, notify func(event string, err error)) {
	whole := l.ttl // as it was at the login
	for l.ttl > 0 {
		if !pause(ctx, max(l.ttl*2/3, leastWait)) {
			return
		}
		if l.renewable {
			next, err := s.renew(ctx)
			if err == nil && next.ttl >= whole/2 {
				l = next
				notify("the token was renewed", nil)
				continue
			}
			if ctx.Err() == nil && err != nil {
				notify("the token cannot be renewed", err)
			}
		}
		var alive bool
		if l, alive = loginAgain(ctx, s, notify); !alive {
			return
		}
		whole = l.ttl
	}
	<-ctx.Done()
}

// loginAgain tries until it has logged in.
func loginAgain(ctx context.Context, s session, notify func(event string, err error)) (l lease, alive bool) {
	for wait := leastWait; ; wait = min(2*wait, longestRetry) {
		l, err := s.login(ctx)
		if err == nil {
			notify("logged in again", nil)
			return l, true
		}
		if ctx.Err() != nil {
			return l, false
		}
		notify("cannot log in again, will go on trying", err)
		if !pause(ctx, wait) {
			return l, false
		}
	}
}

// pause waits, and reports whether ctx is still good.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
