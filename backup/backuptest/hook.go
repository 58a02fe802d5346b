package backuptest

import (
	"context"
	"io"

	"github.com/brockdb/brock/backup/destination"
)

// Hook is a destination that tells a test what happens, before it does.
type Hook struct {
	destination.Destination
	BeforeCreate func(name string) // may be nil
	BeforeOpen   func(name string) // may be nil
}

var _ destination.Debris = (*Hook)(nil)

// Create implements destination.Destination.
func (h *Hook) Create(ctx context.Context, name string, mode destination.Mode) (destination.Writer, error) {
	if h.BeforeCreate != nil {
		h.BeforeCreate(name)
	}
	return h.Destination.Create(ctx, name, mode)
}

// Open implements destination.Destination.
func (h *Hook) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	if h.BeforeOpen != nil {
		h.BeforeOpen(name)
	}
	return h.Destination.Open(ctx, name, offset, length)
}

// RemoveDebris implements destination.Debris.
func (h *Hook) RemoveDebris(ctx context.Context, dir string) error {
	return destination.RemoveDebris(ctx, h.Destination, dir)
}
