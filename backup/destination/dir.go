package destination

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/brockdb/brock/backup/fault"
)

// Permissions of what the directory backend creates, before the umask. Backups
// may be unencrypted, so others get nothing.
const (
	folderMode fs.FileMode = 0o750
	fileMode   fs.FileMode = 0o640
)

// Dir is a destination in a directory of a local or mounted file system, NFS
// included. Objects are regular files and folders are directories; a symbolic
// link or a special file below the root is no object, and no link leads out.
//
// The root is opened anew for every call, so a Dir holds nothing open between
// calls, needs no Close, and never writes into a file system that has been
// mounted over.
type Dir struct {
	root string // absolute and clean
	ops  fileOps
	mu   sync.Mutex // held while the root is made, so that its maker has synced it
}

// fileOps are the system calls a Dir's promises rest on; tests make them fail.
type fileOps struct {
	startWriteback  func(f *os.File, offset, length int64) error
	syncFile        func(*os.File) error
	syncFolder      func(*os.File) error
	link            func(folder *os.Root, from, to string) error
	renameNoReplace func(folder *os.Root, from, to string) error
}

// NewDir returns the destination in the directory at root, an absolute path.
// It is Open without the URI, for embedders and tests. The directory is made
// by the first Create, not here.
func NewDir(root string) (*Dir, error) {
	if !filepath.IsAbs(root) {
		return nil, usage("%s is not an absolute path", quoteHarmless(root))
	}
	return newDir(filepath.Clean(root)), nil
}

func newDir(root string) *Dir {
	return &Dir{root: root, ops: fileOps{
		startWriteback:  startWriteback,
		syncFile:        (*os.File).Sync,
		syncFolder:      syncFolder,
		link:            (*os.Root).Link,
		renameNoReplace: renameNoReplace,
	}}
}

// String returns the path of the directory.
func (d *Dir) String() string { return d.root }

// Open implements Destination. An object shorter than offset+length is an error
// of kind Corrupt that wraps io.ErrUnexpectedEOF, here or, when it shrinks
// meanwhile, at Read.
func (d *Dir) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	if err := d.check(ctx, "open", name); err != nil {
		return nil, err
	}
	if offset < 0 {
		return nil, fault.New(fault.Usage, d.op("open", name), "the offset %d is negative", offset)
	}
	f, size, err := d.openObject(name)
	if err != nil {
		return nil, d.fail("open", name, err)
	}
	if length < 0 && offset <= size {
		length = size - offset
	}
	if length < 0 || offset > size || length > size-offset {
		_ = f.Close() // only read from
		return nil, fault.New(fault.Corrupt, d.op("open", name),
			"it has %d bytes, too few to read %d from offset %d: %w", size, max(length, 0), offset, io.ErrUnexpectedEOF)
	}
	return &dirReader{ctx: ctx, dir: d, name: name, file: f, offset: offset, left: length}, nil
}

// openObject opens a regular file for reading and returns its size.
func (d *Dir) openObject(name string) (*os.File, int64, error) {
	root, err := d.openRoot()
	if err != nil {
		return nil, 0, err
	}
	defer root.Close()
	// Looked at before it is opened: opening a FIFO would block.
	if _, err := statObject(root, name); err != nil {
		return nil, 0, err
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, also(err, f.Close())
	}
	return f, info.Size(), nil
}

// dirReader reads a range of one file.
type dirReader struct {
	ctx          context.Context // of Open: it governs Read
	dir          *Dir
	name         string
	file         *os.File
	offset, left int64
}

func (r *dirReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, r.dir.fail("read", r.name, err)
	}
	if r.left == 0 {
		return 0, io.EOF
	}
	n, err := r.file.ReadAt(p[:min(int64(len(p)), r.left)], r.offset)
	r.offset += int64(n)
	r.left -= int64(n)
	switch {
	case r.left == 0 || err == nil:
		return n, nil
	case errors.Is(err, io.EOF):
		return n, fault.New(fault.Corrupt, r.dir.op("read", r.name),
			"it ended at %d, %d bytes early: %w", r.offset, r.left, io.ErrUnexpectedEOF)
	}
	return n, r.dir.fail("read", r.name, err)
}

func (r *dirReader) Close() error { return r.dir.fail("close", r.name, r.file.Close()) }

// Stat implements Destination.
func (d *Dir) Stat(ctx context.Context, name string) (Info, error) {
	if err := d.check(ctx, "stat", name); err != nil {
		return Info{}, err
	}
	root, err := d.openRoot()
	if err != nil {
		return Info{}, d.fail("stat", name, err)
	}
	defer root.Close()
	info, err := statObject(root, name)
	if err != nil {
		return Info{}, d.fail("stat", name, err)
	}
	return Info{Name: name, Size: info.Size(), Modified: info.ModTime().UTC()}, nil
}

// statObject describes the regular file called name; whatever else has that
// name is not an object.
func statObject(root *os.Root, name string) (fs.FileInfo, error) {
	info, err := root.Lstat(name)
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, errIsFolder
	case !info.Mode().IsRegular():
		return nil, errNotRegular
	}
	return info, nil
}

// List implements Destination.
func (d *Dir) List(ctx context.Context, dir string, visit func(Info) error) error {
	if err := ctx.Err(); err != nil {
		return d.fail("list", dir, err)
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
		return d.fail("list", dir, err)
	}
	defer root.Close()
	folder, err := openFolder(root, path.Join(".", dir))
	if isGone(err) {
		return nil
	}
	if err != nil {
		return d.fail("list", dir, err)
	}
	defer folder.Close()
	names, err := readNames(ctx, folder)
	if err != nil {
		return d.fail("list", dir, err)
	}
	for _, base := range names {
		if err := ctx.Err(); err != nil {
			return d.fail("list", dir, err)
		}
		name := path.Join(dir, base)
		if CheckName(name) != nil || strings.HasPrefix(base, nfsSillyPrefix) {
			continue // not an object: unfinished, or put there by somebody else
		}
		info, err := folder.Lstat(base)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile
		}
		if err != nil {
			return d.fail("list", name, err)
		}
		if err := visitEntry(name, info, visit); err != nil {
			return err
		}
	}
	return nil
}

// nfsSillyPrefix begins the names an NFS client gives to files that are removed
// while a process has them open.
const nfsSillyPrefix = ".nfs"

func visitEntry(name string, info fs.FileInfo, visit func(Info) error) error {
	switch {
	case info.IsDir():
		return visit(Info{Name: name, Modified: info.ModTime().UTC(), Dir: true})
	case info.Mode().IsRegular():
		return visit(Info{Name: name, Size: info.Size(), Modified: info.ModTime().UTC()})
	}
	return nil
}

// readNames returns the names in folder in ascending order.
func readNames(ctx context.Context, folder *os.Root) ([]string, error) {
	f, err := folder.Open(".")
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read
	const batch = 1024
	var names []string
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		more, err := f.Readdirnames(batch)
		names = append(names, more...)
		if errors.Is(err, io.EOF) {
			slices.Sort(names)
			return names, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// openRoot opens the root directory for one call.
func (d *Dir) openRoot() (*os.Root, error) {
	info, err := os.Stat(d.root)
	if errors.Is(err, syscall.ENOTDIR) || err == nil && !info.IsDir() {
		return nil, errNotDirectory
	}
	if err != nil {
		return nil, err
	}
	return os.OpenRoot(d.root)
}

// openFolder opens a folder below root and fails with ENOTDIR when it is none.
// It looks first: opening a FIFO would block.
func openFolder(root *os.Root, folder string) (*os.Root, error) {
	info, err := root.Stat(folder)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, syscall.ENOTDIR
	}
	return root.OpenRoot(folder)
}

// check is what every call on one object begins with.
func (d *Dir) check(ctx context.Context, verb, name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return d.fail(verb, name, err)
	}
	return nil
}

// op returns "verb /root/name", the operation of an error.
func (d *Dir) op(verb, name string) string { return verb + " " + path.Join(d.root, name) }
