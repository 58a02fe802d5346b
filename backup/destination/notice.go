package destination

import "context"

type noticeKey struct{}

// WithNotice makes destinations tell notice what goes on while the calls made
// with the context wait: that a request is tried again and why, that a
// connection stalls. A notice is a line for people without secrets. The
// function is called from many goroutines and must return soon.
func WithNotice(ctx context.Context, notice func(text string)) context.Context {
	return context.WithValue(ctx, noticeKey{}, notice)
}

func notify(ctx context.Context, text string) {
	if notice, ok := ctx.Value(noticeKey{}).(func(string)); ok && notice != nil {
		notice(text)
	}
}
