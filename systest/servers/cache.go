package servers

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Dir returns the folder that holds what was installed: $BROCK_TEST_CACHE, or
// brock-test in the user's cache directory.
func Dir() (string, error) {
	if dir := os.Getenv("BROCK_TEST_CACHE"); dir != "" {
		return dir, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("cannot find a cache directory for test servers (set BROCK_TEST_CACHE): %w", err)
	}
	return filepath.Join(dir, "brock-test"), nil
}

// installed returns the path of name in the cache. When it is not there yet,
// make puts it together in a scratch folder, out of which it is renamed: what
// is in the cache is whole. Processes that want the same wait for each other.
func installed(name string, make func(scratch string) (made string, err error)) (path string, err error) {
	dir, err := Dir()
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", err
	}
	unlock, err := lock(filepath.Join(dir, name+".lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	scratch, err := os.MkdirTemp(dir, "scratch-")
	if err != nil {
		return "", err
	}
	defer func() { _ = removeAll(scratch) }() // a cache may hold leftovers
	tell("installing %s into %s", name, dir)
	made, err := make(scratch)
	if err != nil {
		return "", fmt.Errorf("cannot install %s: %w", name, err)
	}
	return path, os.Rename(made, path)
}

// removeAll removes a folder, that of a Go module too, which is read-only.
func removeAll(dir string) error {
	_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			return os.Chmod(path, 0o777)
		}
		return nil
	})
	return os.RemoveAll(dir)
}

// progress is where installations are told; they may take minutes.
var progress io.Writer = os.Stderr

func tell(format string, args ...any) {
	_, _ = fmt.Fprintf(progress, "servers: "+format+"\n", args...) // nobody is left to tell
}
