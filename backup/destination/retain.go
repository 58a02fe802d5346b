package destination

import (
	"context"
	"time"
)

// Retainer is implemented by destinations that can refuse to give an object back
// before a certain time, as S3 does with Object Lock.
type Retainer interface {
	// RetainedUntil returns until when the object cannot be removed for good;
	// zero when it can be now. For a hold without an end it returns a time that
	// is far away.
	RetainedUntil(ctx context.Context, name string) (time.Time, error)
}

// RetainedUntil asks d, or what d wraps, and returns zero where nothing can be
// retained.
func RetainedUntil(ctx context.Context, d Destination, name string) (time.Time, error) {
	for d != nil {
		if r, ok := d.(Retainer); ok {
			return r.RetainedUntil(ctx, name)
		}
		w, ok := d.(interface{ Unwrap() Destination })
		if !ok {
			break
		}
		d = w.Unwrap()
	}
	return time.Time{}, nil
}
