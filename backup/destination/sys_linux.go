package destination

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// startWriteback asks the kernel to begin writing a range of the file to its
// disk or server, without waiting, so that the fsync at the end is short.
func startWriteback(f *os.File, offset, length int64) error {
	err := control(f, func(fd int) error {
		return unix.SyncFileRange(fd, offset, length, unix.SYNC_FILE_RANGE_WRITE)
	})
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, unix.EINVAL) {
		return nil // a hint only, and fsync comes all the same
	}
	return err
}

// renameNoReplace renames within folder and fails with EEXIST when the new name
// is taken.
func renameNoReplace(folder *os.Root, from, to string) error {
	f, err := folder.Open(".")
	if err != nil {
		return err
	}
	defer f.Close() // only looked up in
	return control(f, func(fd int) error {
		return unix.Renameat2(fd, from, fd, to, unix.RENAME_NOREPLACE)
	})
}

// control runs call with the descriptor of f.
func control(f *os.File, call func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var callErr error
	if err := conn.Control(func(fd uintptr) { callErr = call(int(fd)) }); err != nil {
		return err
	}
	return callErr
}
