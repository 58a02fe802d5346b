package destination

import (
	"context"
	"io"
	"strings"
)

// Below returns what lies in a folder of d as a destination of its own.
func Below(d Destination, folder string) (Destination, error) {
	if err := CheckName(folder); err != nil {
		return nil, err
	}
	return &below{inner: d, folder: folder}, nil
}

type below struct {
	inner  Destination
	folder string
}

var _ Debris = (*below)(nil)

// name returns the name of an object in d; a bad one stays bad.
func (b *below) name(name string) (string, error) {
	if err := CheckName(name); err != nil {
		return "", err
	}
	return b.folder + "/" + name, nil
}

func (b *below) dir(dir string) (string, error) {
	if dir == "" {
		return b.folder, nil
	}
	return b.name(dir)
}

// Create implements Destination.
func (b *below) Create(ctx context.Context, name string, mode Mode) (Writer, error) {
	full, err := b.name(name)
	if err != nil {
		return nil, err
	}
	return b.inner.Create(ctx, full, mode)
}

// Open implements Destination.
func (b *below) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	full, err := b.name(name)
	if err != nil {
		return nil, err
	}
	return b.inner.Open(ctx, full, offset, length)
}

// Stat implements Destination.
func (b *below) Stat(ctx context.Context, name string) (Info, error) {
	full, err := b.name(name)
	if err != nil {
		return Info{}, err
	}
	info, err := b.inner.Stat(ctx, full)
	info.Name = name
	return info, err
}

// List implements Destination.
func (b *below) List(ctx context.Context, dir string, visit func(Info) error) error {
	full, err := b.dir(dir)
	if err != nil {
		return err
	}
	return b.inner.List(ctx, full, func(info Info) error {
		info.Name = strings.TrimPrefix(info.Name, b.folder+"/")
		return visit(info)
	})
}

// Remove implements Destination.
func (b *below) Remove(ctx context.Context, name string) error {
	full, err := b.name(name)
	if err != nil {
		return err
	}
	return b.inner.Remove(ctx, full)
}

// RemoveDebris implements Debris.
func (b *below) RemoveDebris(ctx context.Context, dir string) error {
	full, err := b.dir(dir)
	if err != nil {
		return err
	}
	return RemoveDebris(ctx, b.inner, full)
}

// Unwrap returns the destination inside.
func (b *below) Unwrap() Destination { return b.inner }

// String implements Destination.
func (b *below) String() string { return objectURI(b.inner, b.folder) }
