package main

import (
	"crypto/rand"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/brockdb/brock/backup/fault"
)

// openInput opens a file, or standard input for "-", and returns its size, or 0
// when that is not known.
func openInput(name string) (io.ReadCloser, int64, error) {
	if name == "-" {
		return io.NopCloser(os.Stdin), 0, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, fault.Wrap(err, "read file to load")
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = fault.New(fault.Usage, "read file to load "+name, "it is a directory")
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	if !info.Mode().IsRegular() {
		return f, 0, nil
	}
	return f, info.Size(), nil
}

// writeFile makes a file of what write writes. Until all of it is on disk there
// is no file of that name, or the old one. A device or a pipe is written to as
// it is.
func writeFile(name string, write func(io.Writer) error) error {
	op := "write file " + name
	if target, err := filepath.EvalSymlinks(name); err == nil {
		name = target // a rename would replace the link
	}
	info, err := os.Stat(name)
	switch {
	case err == nil && info.IsDir():
		return fault.New(fault.Usage, op, "it is a directory")
	case err == nil && !info.Mode().IsRegular():
		return writeDevice(name, op, write)
	}
	part := filepath.Join(filepath.Dir(name), "."+filepath.Base(name)+".part-"+rand.Text()[:8])
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return fault.Wrap(err, "%s", op)
	}
	if err := write(f); err != nil {
		return errors.Join(err, f.Close(), os.Remove(part))
	}
	err = errors.Join(f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(part, name)
	}
	if err != nil {
		return fault.Wrap(errors.Join(err, os.Remove(part)), "%s", op)
	}
	return nil
}

func writeDevice(name, op string, write func(io.Writer) error) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return fault.Wrap(err, "%s", op)
	}
	return errors.Join(write(f), fault.Wrap(f.Close(), "%s", op))
}

// countingReader counts what was read of r.
type countingReader struct {
	r io.Reader
	n atomic.Int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// progress is by bytes read; a size of 0 is not known.
func (c *countingReader) progress(size int64) func() moment {
	return func() moment {
		now := moment{bytes: c.n.Load()}
		if size > 0 {
			now.fraction = min(1, float64(now.bytes)/float64(size))
		}
		return now
	}
}

// countingWriter counts what was written to w.
type countingWriter struct {
	w io.Writer
	n atomic.Int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n.Add(int64(n))
	return n, err
}
