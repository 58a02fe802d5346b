package restore

import (
	"errors"
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
	path      string
	target    string
	marker    *os.File // open and locked
	published bool     // renamed to target
}

// newTemp makes target's temporary directory; what an interrupted restore left
// in it is deleted.
func newTemp(target string) (*tempDir, error) {
	const attempts = 20
	for range attempts {
		t, err := lockTemp(target)
		if err != nil || t != nil {
			return t, err
		}
	}
	return nil, fault.New(fault.Locked, "restore to "+target, "other restores come and go there")
}

// lockTemp returns nil when another restore has removed or renamed the
// directory before it was locked.
func lockTemp(target string) (*tempDir, error) {
	t := &tempDir{path: target + tempSuffix, target: target}
	if err := checkTarget(target); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(t.path, 0o700); err != nil {
		return nil, fault.Wrap(err, "make directory %s", t.path)
	}
	marker := filepath.Join(t.path, markerFile)
	f, err := os.OpenFile(marker, os.O_CREATE|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fault.Wrap(err, "make %s", marker)
	}
	if err := lockFile(f); err != nil {
		return nil, errors.Join(fault.New(fault.Locked, "restore to "+target, "another restore is writing there: %w", err), f.Close())
	}
	if !isOpenFile(f, marker) {
		return nil, f.Close()
	}
	t.marker = f
	if err := t.clear(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return t, nil
}

// isOpenFile reports whether name still names the open file.
func isOpenFile(f *os.File, name string) bool {
	opened, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Lstat(name)
	return err == nil && os.SameFile(opened, named)
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

// publish makes the directories their targets, durably: all of them, or on an
// error none, unless the process dies in between.
func publish(temps []*tempDir) error {
	for _, t := range temps {
		if err := t.rename(); err != nil {
			return fault.Wrap(err, "make %s of %s", t.target, t.path)
		}
	}
	for _, t := range temps {
		if err := syncDir(filepath.Dir(t.target)); err != nil {
			return fault.Wrap(err, "make %s of %s durable", t.target, t.path)
		}
	}
	for _, t := range temps {
		if err := os.Remove(filepath.Join(t.target, markerFile)); err != nil {
			return fault.Wrap(err, "finish %s", t.target)
		}
	}
	return nil
}

func (t *tempDir) rename() error {
	if err := syncDir(t.path); err != nil {
		return err
	}
	if err := removeEmpty(t.target); err != nil {
		return err
	}
	if err := renameLocked(t.marker, t.path, t.target); err != nil {
		return err
	}
	t.published = true
	return nil
}

// unlock lets others restore to the target.
func (t *tempDir) unlock() error {
	if err := t.marker.Close(); !errors.Is(err, fs.ErrClosed) {
		return fault.Wrap(err, "close the mark of %s", t.target)
	}
	return nil
}

// abandon deletes the directory, under whatever name it has.
func (t *tempDir) abandon() error {
	var err error
	if t.published {
		err = os.Rename(t.target, t.path)
	}
	if err == nil {
		err = t.clear()
	}
	if err == nil {
		err = os.RemoveAll(filepath.Join(t.path, markerFile))
	}
	if err == nil {
		err = os.Remove(t.path)
	}
	return fault.Wrap(errors.Join(err, t.unlock()), "remove %s", t.path)
}

// removeEmpty removes an empty directory if there is one: rename replaces one
// on some systems and not on others.
func removeEmpty(dir string) error {
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fault.New(fault.Exists, "restore to "+dir, "it is not empty any more: %w", err)
	}
	return nil
}

// makeDir makes a directory and those above it, durably.
func makeDir(dir string) error {
	above := existingParent(dir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fault.Wrap(err, "make directory %s", dir)
	}
	for made := dir; made != above; made = filepath.Dir(made) {
		if err := syncDir(filepath.Dir(made)); err != nil {
			return fault.Wrap(err, "make directory %s", dir)
		}
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
