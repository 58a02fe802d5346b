package destination

import (
	"context"
	"io"

	"github.com/brockdb/brock/backup/fault"
)

// Retrying returns d with every call that failed for a passing reason made
// again, as r says, and with downloads that go on where a connection broke.
//
// What is written is not kept, so a Writer is not retried here: the writer of
// an object store keeps the part it sends and retries that. A directory needs
// neither: its file system retries.
func Retrying(d Destination, r Retry) Destination {
	return &retrying{Destination: d, retry: r}
}

type retrying struct {
	Destination
	retry Retry
}

var _ Debris = (*retrying)(nil)

func (d *retrying) op(verb, name string) string { return verb + " " + objectURI(d, name) }

// Unwrap returns the destination inside.
func (d *retrying) Unwrap() Destination { return d.Destination }

// Create implements Destination.
func (d *retrying) Create(ctx context.Context, name string, mode Mode) (w Writer, err error) {
	err = d.retry.do(ctx, d.op("create", name), func(context.Context) error {
		w, err = d.Destination.Create(ctx, name, mode) // which keeps its context
		return err
	})
	return w, err
}

// Open implements Destination.
func (d *retrying) Open(ctx context.Context, name string, offset, length int64) (r io.ReadCloser, err error) {
	err = d.retry.do(ctx, d.op("open", name), func(attempt context.Context) error {
		r, err = d.Destination.Open(attempt, name, offset, length)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &resumingReader{ctx: ctx, dest: d, name: name, offset: offset, length: length, inner: r}, nil
}

// Stat implements Destination.
func (d *retrying) Stat(ctx context.Context, name string) (info Info, err error) {
	err = d.retry.do(ctx, d.op("stat", name), func(ctx context.Context) error {
		info, err = d.Destination.Stat(ctx, name)
		return err
	})
	return info, err
}

// List implements Destination. A listing that broke off begins again, and visit
// sees only what it has not seen: names ascend.
func (d *retrying) List(ctx context.Context, dir string, visit func(Info) error) error {
	var visitErr error
	last, any := "", false
	err := d.retry.do(ctx, d.op("list", dir), func(ctx context.Context) error {
		err := d.Destination.List(ctx, dir, func(info Info) error {
			if any && info.Name <= last {
				return nil
			}
			last, any = info.Name, true
			visitErr = visit(info)
			return visitErr
		})
		if visitErr != nil {
			return nil // however it is wrapped, it is not the storage's
		}
		return err
	})
	if visitErr != nil {
		return visitErr
	}
	return err
}

// Remove implements Destination. When the first answer was lost, the second one
// says that there is nothing: that is success.
func (d *retrying) Remove(ctx context.Context, name string) error {
	return d.retry.do(ctx, d.op("remove", name), func(ctx context.Context) error {
		err := d.Destination.Remove(ctx, name)
		if retriesOf(ctx) > 0 && fault.Is(err, fault.NotFound) {
			return nil
		}
		return err
	})
}

// RemoveDebris implements Debris.
func (d *retrying) RemoveDebris(ctx context.Context, dir string) error {
	return d.retry.do(ctx, d.op("remove debris of", dir), func(ctx context.Context) error {
		return RemoveDebris(ctx, d.Destination, dir)
	})
}
