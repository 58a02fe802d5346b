//go:build unix

package store

import (
	"errors"
	"os"
	"syscall"
)

// lockDir takes the lock that Badger takes on an open directory, and returns
// the function that gives it back. The error is errLocked when another process
// has it.
func lockDir(dir string) (unlock func() error, err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = errLocked
		}
		return nil, errors.Join(err, d.Close())
	}
	return d.Close, nil
}
