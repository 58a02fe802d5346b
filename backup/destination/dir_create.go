package destination

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/brockdb/brock/backup/fault"
)

// Create implements Destination. The bytes go to a hidden file in the folder of
// the object, which pins the folder until Commit or Abort. An object that
// exists already fails an Exclusive Create here, before bytes are moved.
func (d *Dir) Create(ctx context.Context, name string, mode Mode) (Writer, error) {
	if err := d.check(ctx, "create", name); err != nil {
		return nil, err
	}
	if mode != Exclusive && mode != Replace {
		return nil, fault.New(fault.Usage, d.op("create", name), "unknown mode %d", mode)
	}
	root, err := d.openOrMakeRoot()
	if err != nil {
		return nil, d.fail("create", name, err)
	}
	w := &dirWriter{ctx: ctx, dir: d, name: name, mode: mode, root: root, temp: tempPrefix + rand.Text()}
	if err := w.begin(); err != nil {
		return nil, d.fail("create", name, also(err, w.closeFolders()))
	}
	return w, nil
}

// begin opens the folder and the hidden file.
func (w *dirWriter) begin() error {
	if err := checkFree(w.root, w.name, w.mode); err != nil {
		return err
	}
	// A concurrent Remove may take the folder away while it is still empty. On
	// NFS that also looks as if something had the folder's name.
	const attempts = 100
	var err error
	for range attempts {
		err = w.openTemp()
		switch {
		case hasVanished(err):
		case errors.Is(err, syscall.ENOTDIR) || errors.Is(err, fs.ErrExist):
			if isTaken(w.root, path.Dir(w.name)) {
				return errTaken // the name of a folder on the way belongs to an object
			}
		default:
			return err
		}
	}
	if !hasVanished(err) {
		return errTaken
	}
	return err
}

// isTaken reports whether folder, or one above it, is something else.
func isTaken(root *os.Root, folder string) bool {
	for ; folder != "."; folder = path.Dir(folder) {
		if info, err := root.Lstat(folder); err == nil {
			return !info.IsDir()
		}
	}
	return false
}

func (w *dirWriter) openTemp() error {
	folder := path.Dir(w.name)
	if err := w.root.MkdirAll(folder, folderMode); err != nil {
		return err
	}
	opened, err := openFolder(w.root, folder)
	if err != nil {
		return err
	}
	file, err := opened.OpenFile(w.temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return also(err, opened.Close())
	}
	w.folder, w.file = opened, file
	return nil
}

// checkFree returns an error when an object cannot be created under name
// because of what has that name now.
func checkFree(root *os.Root, name string, mode Mode) error {
	info, err := root.Lstat(name)
	switch {
	case hasVanished(err):
		return nil
	case errors.Is(err, syscall.ENOTDIR):
		return errTaken
	case err != nil:
		return err
	case info.IsDir():
		return errTaken
	case mode == Exclusive:
		return fs.ErrExist
	}
	return nil
}

// openOrMakeRoot opens the root directory and makes it first when it is missing.
func (d *Dir) openOrMakeRoot() (*os.Root, error) {
	root, err := d.openRoot()
	if !errors.Is(err, fs.ErrNotExist) {
		return root, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.makeRoot(); err != nil {
		return nil, err
	}
	return d.openRoot()
}

// makeRoot makes the root directory and the parents it lacks, each durable
// before the next.
func (d *Dir) makeRoot() error {
	var missing []string
	for dir := d.root; ; dir = filepath.Dir(dir) {
		_, err := os.Stat(dir)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		missing = append(missing, dir)
	}
	for _, dir := range slices.Backward(missing) {
		// Another process may make it at the same time; it is synced here all
		// the same, because that process may not have come to it yet.
		if err := os.Mkdir(dir, folderMode); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		parent, err := os.Open(filepath.Dir(dir))
		if err != nil {
			return err
		}
		if err := also(d.ops.syncFolder(parent), parent.Close()); err != nil {
			return err
		}
	}
	return nil
}
