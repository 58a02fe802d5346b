package destination

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/brockdb/brock/backup/fault"
)

// Causes that no system call returns.
var (
	errNotDirectory = errors.New("the destination is not a directory")
	errIsFolder     = errors.New("it is a folder")
	errNotRegular   = errors.New("it is not a regular file")
	errTaken        = errors.New("a folder has that name, or a file the name of its folder")
	errSwept        = errors.New("its unfinished file is gone: somebody removed it as debris")
	errEnded        = errors.New("the writer has ended")
)

// fail turns the error of a system call into a *fault.Error about one object.
// It returns nil when err is nil.
func (d *Dir) fail(verb, name string, err error) error {
	if err == nil {
		return nil
	}
	kind, hint := classify(err)
	return &fault.Error{Kind: kind, Op: d.op(verb, name), Err: bare(err), Hint: hint}
}

// classify returns the kind of err, and a hint where there is one.
func classify(err error) (fault.Kind, string) {
	is := func(targets ...error) bool {
		for _, target := range targets {
			if errors.Is(err, target) {
				return true
			}
		}
		return false
	}
	switch {
	case is(context.Canceled, context.DeadlineExceeded):
		return fault.Canceled, ""
	case is(syscall.ENOSPC):
		return fault.NoSpace, "free space at the destination, or prune old backups there"
	case is(syscall.EDQUOT):
		return fault.NoSpace, "the disk quota is used up: raise it, or prune old backups"
	case is(syscall.EFBIG):
		return fault.NoSpace, "the file system or the process (ulimit -f) limits the size of a file"
	case is(syscall.EROFS):
		return fault.Denied, "the file system is mounted read-only"
	case is(fs.ErrPermission):
		return fault.Denied, "give the user this process runs as read and write permission on the directory"
	case is(syscall.ESTALE):
		return fault.Other, "the NFS server no longer knows the file: was the export replaced? Mount it again"
	case is(syscall.EIO):
		return fault.Other, "the disk or the server failed: see the system log of both"
	case is(errNotDirectory):
		return fault.Usage, "name a directory, or a path where one can be made"
	case is(errTaken):
		return fault.Exists, ""
	case is(errIsFolder, errNotRegular, fs.ErrNotExist, syscall.ENOTDIR):
		return fault.NotFound, ""
	case is(fs.ErrExist):
		return fault.Exists, ""
	}
	return fault.Other, ""
}

// also joins the error of a clean-up to the error before it.
func also(err, more error) error {
	switch {
	case err == nil:
		return more
	case more == nil:
		return err
	}
	return fmt.Errorf("%w (and then: %w)", err, more)
}

// bare strips what os puts around an errno: the operation and the path, which
// the fault names better.
func bare(err error) error {
	switch e := err.(type) { //nolint:errorlint // what brock wrapped stays as it is
	case *fs.PathError:
		return bare(e.Err)
	case *os.LinkError:
		return bare(e.Err)
	case *os.SyscallError:
		return bare(e.Err)
	}
	return err
}
