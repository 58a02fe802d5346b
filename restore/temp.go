package restore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/brockdb/brock/backup/fault"
)

const (
	tempSuffix = ".tmp"
	// markerFile is in every temporary directory from its first moment until it
	// is renamed. Only a directory that has it is ever deleted: a restore that
	// dies in its last step must leave one that the next restore may clear. One
	// that dies right after the rename leaves the file in a whole database,
	// where it does no harm.
	markerFile = "BROCK_RESTORE_IN_PROGRESS"
)

// checkTemp refuses a temporary directory that no restore of brock's made.
func checkTemp(temp string) error {
	entries, err := os.ReadDir(temp)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fault.Wrap(err, "look into %s", temp)
	}
	for _, e := range entries {
		if e.Name() == markerFile {
			return nil
		}
	}
	if len(entries) == 0 {
		return nil
	}
	return fault.New(fault.Exists, "restore through "+temp, "the directory is not empty and not an interrupted restore's").
		WithHint("move it away")
}

// tempDir is a pN.tmp being filled, locked against other processes.
type tempDir struct {
	path   string
	target string
	marker *os.File
}

// newTemp makes target's temporary directory; what an interrupted restore left
// in it is deleted.
func newTemp(target string) (*tempDir, error) {
	t := &tempDir{path: target + tempSuffix, target: target}
	if err := checkTemp(t.path); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(t.path, 0o700); err != nil {
		return nil, fault.Wrap(err, "make directory %s", t.path)
	}
	marker := filepath.Join(t.path, markerFile)
	f, err := os.OpenFile(marker, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fault.Wrap(err, "make %s", marker)
	}
	if err := lockFile(f); err != nil {
		return nil, errors.Join(fault.New(fault.Locked, "restore to "+target, "another restore is writing there: %w", err), f.Close())
	}
	t.marker = f
	if err := t.clear(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return t, nil
}

// clear deletes everything but the marker.
func (t *tempDir) clear() error {
	entries, err := os.ReadDir(t.path)
	if err != nil {
		return fault.Wrap(err, "look into %s", t.path)
	}
	for _, e := range entries {
		if e.Name() == markerFile {
			continue
		}
		if err := os.RemoveAll(filepath.Join(t.path, e.Name())); err != nil {
			return fault.Wrap(err, "delete what an interrupted restore left")
		}
	}
	return nil
}

// publish makes the directory the target, durably.
func (t *tempDir) publish() error {
	err := syncDir(t.path)
	if err == nil {
		err = removeEmpty(t.target)
	}
	if err == nil {
		err = renameLocked(t.marker, t.path, t.target)
	}
	if err == nil {
		err = os.Remove(filepath.Join(t.target, markerFile))
	}
	if err == nil {
		err = syncDir(filepath.Dir(t.target))
	}
	return fault.Wrap(err, "make %s of %s", t.target, t.path)
}

// abandon deletes the directory.
func (t *tempDir) abandon() error {
	err := errors.Join(t.clear(), os.Remove(filepath.Join(t.path, markerFile)), t.marker.Close(), os.Remove(t.path))
	return fault.Wrap(err, "remove %s", t.path)
}

// removeEmpty removes an empty directory if there is one: rename replaces one
// on some systems and not on others.
func removeEmpty(dir string) error {
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the target is not empty any more: %w", err)
	}
	return nil
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
