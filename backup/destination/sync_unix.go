//go:build !windows

package destination

import (
	"errors"
	"os"
	"syscall"
)

// syncFolder makes the entries of an open folder durable. Some file systems
// (CIFS, some FUSE ones) know no fsync of a folder and say so; they are let be,
// as PostgreSQL does.
func syncFolder(f *os.File) error {
	err := f.Sync()
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EBADF) {
		return nil
	}
	return err
}
