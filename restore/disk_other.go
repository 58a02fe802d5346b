//go:build !unix

package restore

import "os"

// freeBytes is not known on this system.
func freeBytes(string) (n int64, known bool, err error) { return 0, false, nil }

// lockFile does nothing on this system: two restores into one directory are
// told apart by the rename of the first.
func lockFile(*os.File) error { return nil }

// renameLocked closes the file first: a directory with an open file may not be
// renamed everywhere.
func renameLocked(locked *os.File, from, to string) error {
	if err := locked.Close(); err != nil {
		return err
	}
	return os.Rename(from, to)
}
