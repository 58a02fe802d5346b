package main

import (
	"context"
	"io"

	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
)

// discard is a destination that takes everything and keeps small objects only,
// for measuring a backup without its writes.
type discard struct {
	destination.Destination // a directory, for the lease and the manifest
}

func (d discard) Create(ctx context.Context, name string, mode destination.Mode) (destination.Writer, error) {
	if len(name) > len(".backup") && name[len(name)-len(".backup"):] == ".backup" {
		return nothing{}, nil
	}
	return d.Destination.Create(ctx, name, mode)
}

func (d discard) RemoveDebris(ctx context.Context, dir string) error {
	return fault.Wrap(destination.RemoveDebris(ctx, d.Destination, dir), "remove debris")
}

type nothing struct{}

func (nothing) Write(p []byte) (int, error)  { return io.Discard.Write(p) }
func (nothing) Commit(context.Context) error { return nil }
func (nothing) Abort() error                 { return nil }
