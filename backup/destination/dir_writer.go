package destination

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"github.com/brockdb/brock/backup/fault"
)

const (
	writePieceBytes = 8 << 20  // between two looks at the context
	writebackBytes  = 32 << 20 // between two starts of write-back
)

// dirWriter writes one object to a hidden file and publishes that.
type dirWriter struct {
	ctx    context.Context // of Create: it governs Write
	dir    *Dir
	name   string
	mode   Mode
	root   *os.Root // of the destination
	folder *os.Root // of the object
	temp   string   // the hidden file, in folder
	file   *os.File // nil once closed

	written  int64 // bytes
	flushing int64 // bytes whose write-back was started
	err      error // what went wrong first; final
	ended    bool  // by Commit or Abort
}

// Write appends p to the object.
func (w *dirWriter) Write(p []byte) (int, error) {
	if err := w.usable("write"); err != nil {
		return 0, err
	}
	total := 0
	for len(p) > 0 {
		n, err := w.writePiece(p[:min(len(p), writePieceBytes)])
		total += n
		if err != nil {
			w.err = w.dir.fail("write", w.name, err)
			return total, w.err
		}
		p = p[n:]
	}
	return total, nil
}

func (w *dirWriter) writePiece(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := w.file.Write(p)
	w.written += int64(n)
	if err != nil {
		return n, err
	}
	if fresh := w.written - w.flushing; fresh >= writebackBytes {
		err = w.dir.ops.startWriteback(w.file, w.flushing, fresh)
		w.flushing = w.written
	}
	return n, err
}

// Commit implements Writer.
func (w *dirWriter) Commit(ctx context.Context) error {
	if err := w.usable("commit"); err != nil {
		return err
	}
	if err := w.commit(ctx); err != nil {
		w.err = w.dir.fail("commit", w.name, err)
		return w.err
	}
	w.ended = true
	_ = w.closeFolders() // only looked up in; the object is durable
	return nil
}

// commit makes the bytes durable, then visible, then the name durable. On a
// full or failing file system the error often comes as late as fsync.
func (w *dirWriter) commit(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	durable := !isPresence(w.name)
	if durable {
		if err := w.dir.ops.syncFile(w.file); err != nil {
			return err
		}
	}
	own, err := w.file.Stat()
	if err != nil {
		return err
	}
	if err := w.closeFile(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil { // the sync may have taken long
		return err
	}
	if err := w.publish(own); err != nil {
		return err
	}
	if !durable {
		return nil
	}
	if err := w.syncNames(); err != nil {
		return w.takeBack(own, err)
	}
	return nil
}

// syncNames makes the folder's entries durable, and those of its parents up to
// the root: this writer or one that died may have made them.
func (w *dirWriter) syncNames() error {
	if err := syncPath(w.folder, ".", w.dir.ops.syncFolder); err != nil {
		return err
	}
	for folder := path.Dir(w.name); folder != "."; {
		folder = path.Dir(folder)
		if err := syncPath(w.root, folder, w.dir.ops.syncFolder); err != nil {
			return err
		}
	}
	return nil
}

// takeBack hides what a failed Commit has published already. A replaced object
// cannot be brought back, so the new one stays.
func (w *dirWriter) takeBack(own fs.FileInfo, cause error) error {
	if w.mode == Replace {
		return cause
	}
	base := path.Base(w.name)
	if !isFile(w.folder, base, own) {
		return cause
	}
	if err := w.folder.Remove(base); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w (and the object stays visible: %w)", cause, bare(err))
	}
	return cause
}

// Abort implements Writer.
func (w *dirWriter) Abort() error {
	if w.ended {
		return nil
	}
	w.ended = true
	// The bytes are given up, so how the file ends does not matter. Cutting it
	// first ends what an NFS client still writes of it: otherwise the client
	// keeps the removed file under another name, and a full server stays full.
	if w.file != nil {
		_ = w.file.Truncate(0)
	}
	_ = w.closeFile()
	err := removeIfThere(w.folder, w.temp)
	if err == nil {
		_, err = removeEmptyFolders(w.root, path.Dir(w.name))
	}
	_ = w.closeFolders() // only looked up in
	return w.dir.fail("abort", w.name, err)
}

// usable returns the error that ended the writer, if any.
func (w *dirWriter) usable(verb string) error {
	switch {
	case w.ended:
		return &fault.Error{Op: w.dir.op(verb, w.name), Err: errEnded}
	case w.err != nil:
		return w.err
	}
	return nil
}

func (w *dirWriter) closeFile() error {
	if w.file == nil {
		return nil
	}
	file := w.file
	w.file = nil
	return file.Close()
}

func (w *dirWriter) closeFolders() error {
	var err error
	if w.folder != nil {
		err = w.folder.Close()
	}
	return also(err, w.root.Close())
}

// syncPath makes the entries of one folder durable.
func syncPath(root *os.Root, folder string, sync func(*os.File) error) error {
	f, err := root.Open(folder)
	if err != nil {
		return err
	}
	return also(sync(f), f.Close())
}
