package destination

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/brockdb/brock/backup/fault"
)

// Retry says how often a request is sent again that failed for a reason that
// passes: kind Unavailable. Nothing else is ever retried. The zero value is
// good.
type Retry struct {
	Attempts int           // in all; 0 means 10, between which are 33 to 66 s; 1 never retries
	MinDelay time.Duration // before the second attempt; it doubles from then on; 0 means 200 ms
	MaxDelay time.Duration // 0 means 20 s
}

const (
	defaultAttempts = 10
	defaultMinDelay = 200 * time.Millisecond
	defaultMaxDelay = 20 * time.Second
)

func (r Retry) attempts() int {
	if r.Attempts <= 0 {
		return defaultAttempts
	}
	return r.Attempts
}

// longest returns how long a delay is at most.
func (r Retry) longest() time.Duration {
	if r.MaxDelay <= 0 {
		return defaultMaxDelay
	}
	return r.MaxDelay
}

// delay returns how long to wait after a number of failed attempts: between
// half and the whole of a time that doubles, so that the workers that a server
// turned away together do not come back together.
func (r Retry) delay(failed int) time.Duration {
	least, most := r.MinDelay, r.longest()
	if least <= 0 {
		least = defaultMinDelay
	}
	delay := most
	if shift := failed - 1; shift < 30 && least<<shift < most {
		delay = least << shift
	}
	return delay/2 + rand.N(delay/2+1)
}

// do calls attempt until it succeeds, fails for good, or has failed too often.
// op names it in errors and notices, as "write part 3 of s3://…". The context
// that attempt gets knows how many attempts there were before it.
func (r Retry) do(ctx context.Context, op string, attempt func(ctx context.Context) error) error {
	if isBrief(ctx) {
		r.Attempts = min(r.attempts(), briefAttempts)
	}
	begun := time.Now()
	for failed := 0; ; {
		err := attempt(withRetries(ctx, failed))
		if err == nil || !fault.Is(err, fault.Unavailable) || ctx.Err() != nil {
			return err
		}
		failed++
		if failed >= r.attempts() {
			return r.giveUp(op, failed, time.Since(begun), err)
		}
		delay := r.delay(failed)
		notify(ctx, fmt.Sprintf("attempt %d of %d to %s failed, the next is in %v: %v",
			failed, r.attempts(), op, delay.Round(time.Millisecond), err))
		if werr := wait(ctx, delay); werr != nil {
			return &fault.Error{Kind: fault.Canceled, Op: op, Err: werr}
		}
	}
}

func (r Retry) giveUp(op string, failed int, took time.Duration, err error) error {
	if failed == 1 {
		return err
	}
	return fault.New(fault.Unavailable, op, "%d attempts in %v failed: %w", failed, took.Round(time.Second), err).
		WithHint("%s", hintOr(err, "see whether the storage is reachable, then start again"))
}

func hintOr(err error, hint string) string {
	if own := fault.HintOf(err); own != "" {
		return own
	}
	return hint
}

// wait sleeps, unless ctx ends first.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

type briefKey struct{}

// briefAttempts are made in about a second.
const briefAttempts = 3

// Briefly makes the calls made with the context give up soon, for somebody who
// waits for the answer.
func Briefly(ctx context.Context) context.Context { return context.WithValue(ctx, briefKey{}, true) }

func isBrief(ctx context.Context) bool { return ctx.Value(briefKey{}) != nil }

type retriesKey struct{}

// withRetries tells what is called with the context how often the same was
// tried before.
func withRetries(ctx context.Context, failed int) context.Context {
	if failed == 0 {
		return ctx
	}
	return context.WithValue(ctx, retriesKey{}, failed)
}

// retriesOf returns how often what is done with ctx was tried before.
func retriesOf(ctx context.Context) int {
	failed, _ := ctx.Value(retriesKey{}).(int)
	return failed
}
