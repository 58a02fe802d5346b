//go:build !unix

package store

// lockDir does nothing where files in use cannot be removed anyway.
func lockDir(string) (unlock func() error, err error) {
	return func() error { return nil }, nil
}

// freeBytes is not known on this system.
func freeBytes(string) (n int64, known bool, err error) { return 0, false, nil }
