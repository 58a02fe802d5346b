package destination

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
)

// Remove implements Destination.
func (d *Dir) Remove(ctx context.Context, name string) error {
	if err := d.check(ctx, "remove", name); err != nil {
		return err
	}
	root, err := d.openRoot()
	if err != nil {
		return d.fail("remove", name, err)
	}
	defer root.Close()
	return d.fail("remove", name, d.remove(root, name))
}

func (d *Dir) remove(root *os.Root, name string) error {
	if _, err := statObject(root, name); err != nil {
		return err
	}
	if err := root.Remove(name); err != nil {
		return err
	}
	folder, err := removeEmptyFolders(root, path.Dir(name))
	if err != nil || isPresence(name) {
		return err
	}
	return d.syncSurvivor(root, folder)
}

// syncSurvivor makes the removals in folder durable. When folder has been
// removed meanwhile, its nearest parent that is left has the record of that.
func (d *Dir) syncSurvivor(root *os.Root, folder string) error {
	for {
		err := syncPath(root, folder, d.ops.syncFolder)
		if !hasVanished(err) || folder == "." {
			return err
		}
		folder = path.Dir(folder)
	}
}

// RemoveDebris implements Debris: it removes hidden files and empty folders.
func (d *Dir) RemoveDebris(ctx context.Context, dir string) error {
	if err := ctx.Err(); err != nil {
		return d.fail("remove debris in", dir, err)
	}
	if dir != "" {
		if err := CheckName(dir); err != nil {
			return err
		}
	}
	root, err := d.openRoot()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return d.fail("remove debris in", dir, err)
	}
	defer root.Close()
	return d.fail("remove debris in", dir, removeDebris(ctx, root, path.Join(".", dir)))
}

// removeDebris works on folder and what is below it, deepest first. It does not
// sync: debris that comes back after a power cut is removed once more.
func removeDebris(ctx context.Context, root *os.Root, folder string) error {
	info, err := root.Lstat(folder)
	if isGone(err) || err == nil && !info.IsDir() {
		return nil // a link is left alone, wherever it leads
	}
	if err != nil {
		return err
	}
	opened, err := openFolder(root, folder)
	if isGone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer opened.Close()
	names, err := readNames(ctx, opened)
	if err != nil {
		return err
	}
	for _, base := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		info, err := opened.Lstat(base)
		switch {
		case isGone(err):
			continue
		case err == nil && info.IsDir():
			err = removeDebris(ctx, root, path.Join(folder, base))
		case err == nil && info.Mode().IsRegular() && strings.HasPrefix(base, tempPrefix):
			err = removeIfThere(opened, base)
		}
		if err != nil {
			return err
		}
	}
	_, err = removeEmptyFolder(root, folder)
	return err
}

// removeEmptyFolders removes folder and its parents below the root as far as
// they are empty, and returns the first that is left.
func removeEmptyFolders(root *os.Root, folder string) (string, error) {
	for folder != "." {
		removed, err := removeEmptyFolder(root, folder)
		if err != nil || !removed {
			return folder, err
		}
		folder = path.Dir(folder)
	}
	return folder, nil
}

// removeEmptyFolder removes a folder if it is empty and not the root itself.
// It reports true when the folder is gone, whoever removed it.
func removeEmptyFolder(root *os.Root, folder string) (bool, error) {
	if folder == "." {
		return false, nil
	}
	err := root.Remove(folder)
	switch {
	case err == nil || hasVanished(err):
		return true, nil
	case errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, fs.ErrExist) || errors.Is(err, syscall.EBUSY):
		return false, nil // somebody writes there, or it is a mount point
	}
	return false, err
}

// removeIfThere removes one file; one that is gone already is no error.
func removeIfThere(folder *os.Root, base string) error {
	if err := folder.Remove(base); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// hasVanished reports whether the folder that was worked on has been removed
// meanwhile. An NFS client that has it in its cache hears that its handle is
// stale.
func hasVanished(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESTALE)
}

func isGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}
