package main

import (
	"context"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
)

// discard is a destination that takes everything and keeps small objects only,
// for measuring a backup without its writes. It lists the others all the same.
type discard struct {
	destination.Destination // a directory, for the lease and the manifest

	mu   sync.Mutex
	gone []destination.Info // parts
}

// Create implements destination.Destination.
func (d *discard) Create(ctx context.Context, name string, mode destination.Mode) (destination.Writer, error) {
	if strings.HasSuffix(name, ".backup") {
		return &nothing{to: d, name: name}, nil
	}
	return d.Destination.Create(ctx, name, mode)
}

// List implements destination.Destination.
func (d *discard) List(ctx context.Context, dir string, visit func(destination.Info) error) error {
	var all []destination.Info
	err := d.Destination.List(ctx, dir, func(i destination.Info) error {
		all = append(all, i)
		return nil
	})
	if err != nil {
		return err
	}
	d.mu.Lock()
	for _, i := range d.gone {
		if path.Dir(i.Name) == dir {
			all = append(all, i)
		}
	}
	d.mu.Unlock()
	slices.SortFunc(all, func(a, b destination.Info) int { return strings.Compare(a.Name, b.Name) })
	for _, i := range all {
		if err := visit(i); err != nil {
			return err
		}
	}
	return nil
}

// RemoveDebris implements destination.Debris.
func (d *discard) RemoveDebris(ctx context.Context, dir string) error {
	return fault.Wrap(destination.RemoveDebris(ctx, d.Destination, dir), "remove debris")
}

// nothing is the writer of a part.
type nothing struct {
	to   *discard
	name string
	size int64
}

func (n *nothing) Write(p []byte) (int, error) {
	n.size += int64(len(p))
	return len(p), nil
}

func (n *nothing) Commit(context.Context) error {
	n.to.mu.Lock()
	defer n.to.mu.Unlock()
	n.to.gone = append(n.to.gone, destination.Info{Name: n.name, Size: n.size})
	return nil
}

func (n *nothing) Abort() error { return nil }
