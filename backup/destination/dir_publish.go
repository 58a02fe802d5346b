package destination

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"syscall"
)

// publish gives the finished hidden file its name. own describes the file.
func (w *dirWriter) publish(own fs.FileInfo) error {
	base := path.Base(w.name)
	if w.mode == Replace {
		return w.replace(base, own)
	}
	err := w.dir.ops.link(w.folder, w.temp, base)
	switch {
	case err == nil:
	case errors.Is(err, fs.ErrExist) && isFile(w.folder, base, own):
		// An NFS client sends a request again when the answer was lost, and the
		// second LINK finds the first one's name. The name leads to our file.
	case errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EPERM):
		return w.publishWithoutLinks(base)
	default:
		return swept(err)
	}
	if err := removeIfThere(w.folder, w.temp); err != nil {
		return w.takeBack(own, err)
	}
	return nil
}

// replace renames over what may be there.
func (w *dirWriter) replace(base string, own fs.FileInfo) error {
	err := w.folder.Rename(w.temp, base)
	if errors.Is(err, fs.ErrNotExist) && isFile(w.folder, base, own) {
		return nil // as with LINK: the first RENAME was done, its answer lost
	}
	return swept(err)
}

// publishWithoutLinks is the way of file systems without hard links (vfat,
// exFAT, many FUSE ones): a rename that never replaces.
//
// Where that is missing too, the name is claimed with O_EXCL and the file
// renamed over the claim. Still exactly one writer wins, but for a moment the
// object is visible as empty, and stays so when the process dies in between:
// readers find a manifest without content, which is Corrupt, and a lease without
// content, which expires.
func (w *dirWriter) publishWithoutLinks(base string) error {
	err := w.dir.ops.renameNoReplace(w.folder, w.temp, base)
	if !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, syscall.EINVAL) {
		return swept(err)
	}
	claim, err := w.folder.OpenFile(base, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return err
	}
	err = claim.Close()
	if err == nil {
		err = w.folder.Rename(w.temp, base)
	}
	if err != nil {
		return also(swept(err), removeIfThere(w.folder, base))
	}
	return nil
}

// swept tells a hidden file that disappeared from an object that is not there.
func swept(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return errSwept
	}
	return err
}

// isFile reports whether base is the very file own describes. Size and time are
// compared as well, because an inode number is used again once its file is gone.
func isFile(folder *os.Root, base string, own fs.FileInfo) bool {
	info, err := folder.Lstat(base)
	return err == nil && os.SameFile(info, own) &&
		info.Size() == own.Size() && info.ModTime().Equal(own.ModTime())
}
