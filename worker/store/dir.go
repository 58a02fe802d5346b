package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup/fault"
)

// prepareDir makes the directory, or checks that what is there can be a store and
// mends what a process that died may have left. acknowledged is the commit ts
// that must be found in it, 0 where nothing is known.
func prepareDir(dir string, log Logger) (acknowledged uint64, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, makeDir(dir)
	}
	if err != nil {
		return 0, err
	}
	var foreign string
	for _, entry := range entries {
		switch entry.Name() {
		case badger.ManifestFilename:
			return mend(dir, log)
		case "LOCK", "MANIFEST-REWRITE", "lost+found": // a first start cut short; a file system's own
		default:
			foreign = entry.Name()
		}
	}
	if foreign != "" {
		return 0, fault.New(fault.Usage, "use directory", "it is not empty and no Badger store: it has %s", foreign).
			WithHint("name an empty directory, or one that does not exist")
	}
	return 0, nil
}

// makeDir makes dir, durably.
func makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	parent, err := os.Open(filepath.Dir(filepath.Clean(dir)))
	if err != nil {
		return err
	}
	return errors.Join(parent.Sync(), parent.Close())
}

// mend does what Badger needs to open the directory.
func mend(dir string, log Logger) (acknowledged uint64, err error) {
	unlock, err := lockDir(dir)
	if err != nil {
		return 0, err
	}
	if err = removeEmptyLogs(dir); err == nil {
		acknowledged, err = layGhosts(dir, log)
	}
	return acknowledged, errors.Join(err, unlock())
}

// removeEmptyLogs removes the write-ahead and value log files of no bytes. They
// hold nothing: the process died between making a file and giving it its size,
// or between emptying and removing it. Badger refuses a directory that has one.
func removeEmptyLogs(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if ext := filepath.Ext(entry.Name()); ext != ".mem" && ext != ".vlog" {
			continue
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if info.Mode().IsRegular() && info.Size() == 0 {
			if err := os.Remove(filepath.Join(dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

var errLocked = errors.New("another process has it open")

// isLocked reports whether err is errLocked or what Badger says instead: its
// errors are text only.
func isLocked(err error) bool {
	return errors.Is(err, errLocked) || err != nil && strings.Contains(err.Error(), "Cannot acquire directory lock")
}

// patiently calls fn again for a while when somebody has the lock. A process
// that starts another shares its open files with it until that one executes: a
// lock just given up may be held for a moment more, by nobody one could name.
func patiently(fn func() error) error {
	const patience, pause = time.Second, 20 * time.Millisecond
	for began := time.Now(); ; time.Sleep(pause) {
		if err := fn(); !isLocked(err) || time.Since(began) > patience {
			return err
		}
	}
}

// openError says who has the store open, where that is the reason.
func openError(dir string, err error) error {
	op := "open store " + dir
	if !isLocked(err) {
		return fault.Wrap(err, "%s", op)
	}
	holder := "another process"
	if pid, readErr := os.ReadFile(filepath.Join(dir, "LOCK")); readErr == nil {
		if _, numErr := strconv.Atoi(strings.TrimSpace(string(pid))); numErr == nil {
			holder = "process " + strings.TrimSpace(string(pid))
		}
	}
	return fault.New(fault.Locked, op, "%s has it open", holder).WithHint("stop that one, or use another directory")
}
