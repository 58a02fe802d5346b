package destinationtest

import (
	"context"
	"io"

	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
)

// damage is what readers see of one object instead of its bytes.
type damage struct {
	flips map[int64]byte // offset: bits to flip
	cut   bool
	size  int64 // bytes left when cut
}

// Flip makes readers of name see the byte at offset with the bits of mask
// flipped. A mask of 0 does nothing.
func (f *Faulty) Flip(name string, offset int64, mask byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := f.damage[name]
	flips := map[int64]byte{offset: mask}
	for at, bits := range d.flips {
		flips[at] ^= bits
	}
	d.flips = flips // readers may hold the old map
	f.damage[name] = d
}

// Cut makes readers of name, and Stat, see only its first size bytes.
func (f *Faulty) Cut(name string, size int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := f.damage[name]
	d.cut, d.size = true, size
	f.damage[name] = d
}

func (f *Faulty) damageOf(name string) damage {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.damage[name]
}

func (f *Faulty) statDamaged(ctx context.Context, name string) (destination.Info, error) {
	info, err := f.inner.Stat(ctx, name)
	if d := f.damageOf(name); d.cut {
		info.Size = min(info.Size, d.size)
	}
	return info, err
}

// openDamaged opens the range a caller gets to see. A cut object is short as a
// backend reports it: an error of kind Corrupt, no early EOF.
func (f *Faulty) openDamaged(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	d := f.damageOf(name)
	if d.cut {
		info, err := f.statDamaged(ctx, name)
		if err != nil {
			return nil, err
		}
		if offset > info.Size || length > info.Size-offset {
			return nil, fault.New(fault.Corrupt, "open "+name, "it has only %d bytes: %w", info.Size, io.ErrUnexpectedEOF)
		}
		if length < 0 {
			length = info.Size - offset
		}
	}
	inner, err := f.inner.Open(ctx, name, offset, length)
	if err != nil {
		return nil, err
	}
	return &damagedReader{inner: inner, flips: d.flips, offset: offset}, nil
}

type damagedReader struct {
	inner  io.ReadCloser
	flips  map[int64]byte
	offset int64 // of the next byte in the object
}

func (r *damagedReader) Read(p []byte) (int, error) {
	n, err := r.inner.Read(p)
	for at, mask := range r.flips {
		if i := at - r.offset; 0 <= i && i < int64(n) {
			p[i] ^= mask
		}
	}
	r.offset += int64(n)
	return n, err
}

func (r *damagedReader) Close() error { return r.inner.Close() }
