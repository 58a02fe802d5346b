//go:build unix

package restore

import (
	"os"

	"golang.org/x/sys/unix"
)

// freeBytes returns how much an ordinary process may still write below dir.
func freeBytes(dir string) (n int64, known bool, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, false, err
	}
	return int64(st.Bavail) * int64(st.Bsize), true, nil //nolint:unconvert // their types differ between systems
}

// lockFile takes an exclusive lock that ends with the process.
func lockFile(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) }

// renameLocked renames the directory that the locked file is in. The lock stays:
// nobody may clear the directory under its old name.
func renameLocked(_ *os.File, from, to string) error { return os.Rename(from, to) }
