//go:build linux

// Package faultfs is a file system whose calls fail when a test says so: a
// FUSE mount over a real directory. It shows in milliseconds what a broken
// disk or a server that is gone show in minutes.
package faultfs

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/brockdb/brock/systest/servers"
)

// Op is a call that can fail.
type Op string

// The calls.
const (
	Create  Op = "create"
	Open    Op = "open"
	Read    Op = "read"
	Write   Op = "write"
	Fsync   Op = "fsync"    // of a file
	SyncDir Op = "fsyncdir" // of a folder
	Mkdir   Op = "mkdir"
	Link    Op = "link"
	Rename  Op = "rename"
	Unlink  Op = "unlink"
	Rmdir   Op = "rmdir"
	List    Op = "readdir"
)

// Ops are all calls.
var Ops = []Op{Create, Open, Read, Write, Fsync, SyncDir, Mkdir, Link, Rename, Unlink, Rmdir, List}

// FS is a mounted file system. Its methods may be called from many goroutines.
type FS struct {
	Dir  string // where it is mounted
	Back string // the directory below it, which never fails

	mu     sync.Mutex
	counts map[Op]int
	rules  map[Op]rule
	delays map[Op]time.Duration
	events []Event
}

// rule makes the calls from number nth on fail, or only that one; of files whose
// name ends so, where it says one.
type rule struct {
	nth    int
	errno  syscall.Errno
	once   bool
	suffix string
}

// Mount mounts a file system for the time of the test. Without root or
// /dev/fuse the test is left out, see servers.LeaveOut.
func Mount(t testing.TB) *FS {
	t.Helper()
	if _, err := os.Stat("/dev/fuse"); err != nil || os.Geteuid() != 0 {
		servers.LeaveOut(t, "it needs root and /dev/fuse")
	}
	base := t.TempDir()
	f := &FS{Dir: filepath.Join(base, "mount"), Back: filepath.Join(base, "back"), counts: map[Op]int{}, rules: map[Op]rule{},
		delays: map[Op]time.Duration{}}
	for _, dir := range []string{f.Dir, f.Back} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	root := &fs.LoopbackRoot{Path: f.Back}
	root.RootNode = &node{&fs.LoopbackNode{RootData: root}, f}
	server, err := fs.Mount(f.Dir, root.RootNode, &fs.Options{
		MountOptions: fuse.MountOptions{DirectMountStrict: true, FsName: "faultfs", Name: "faultfs"},
	})
	if err != nil {
		t.Fatalf("cannot mount a FUSE file system: %v", err)
	}
	t.Cleanup(func() {
		f.Heal()
		if err := server.Unmount(); err != nil {
			t.Errorf("cannot unmount %s: %v", f.Dir, err)
		}
	})
	return f
}

// FailNth makes call number n of this kind from now on fail, once. The first
// is number 1.
func (f *FS) FailNth(op Op, n int, errno syscall.Errno) { f.set(op, rule{n, errno, true, ""}) }

// Fail makes all calls of this kind fail from now on.
func (f *FS) Fail(op Op, errno syscall.Errno) { f.set(op, rule{1, errno, false, ""}) }

// FailNthOf is FailNth for the files whose names end so; only Create, Write and
// Fsync know them.
func (f *FS) FailNthOf(op Op, suffix string, n int, errno syscall.Errno) {
	f.set(op, rule{n, errno, true, suffix})
}

func (f *FS) set(op Op, r rule) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts[op] = 0
	f.rules[op] = r
}

// Heal lets all calls succeed again and forgets how many there were.
func (f *FS) Heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.counts)
	clear(f.rules)
	clear(f.delays)
	f.events = nil
}

// Delay makes every call of this kind take so much longer, until Heal.
func (f *FS) Delay(op Op, by time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.delays[op] = by
}

// Count returns how many calls of a kind there were since Heal.
func (f *FS) Count(op Op) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts[op]
}

// verdict counts a call, takes its time, and returns its error.
func (f *FS) verdict(op Op) syscall.Errno { return f.verdictOf(op, "") }

func (f *FS) verdictOf(op Op, name string) syscall.Errno {
	f.mu.Lock()
	defer f.mu.Unlock()
	if by := f.delays[op]; by > 0 {
		f.mu.Unlock()
		time.Sleep(by)
		f.mu.Lock()
	}
	r, ok := f.rules[op]
	if ok && !strings.HasSuffix(name, r.suffix) {
		return 0
	}
	f.counts[op]++
	if !ok || f.counts[op] < r.nth || r.once && f.counts[op] > r.nth {
		return 0
	}
	return r.errno
}

// node is a file or a folder.
type node struct {
	*fs.LoopbackNode
	fs *FS
}

// WrapChild implements fs.NodeWrapChilder.
func (n *node) WrapChild(_ context.Context, child fs.InodeEmbedder) fs.InodeEmbedder {
	return &node{child.(*fs.LoopbackNode), n.fs}
}

// Create implements fs.NodeCreater.
func (n *node) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	if e := n.fs.verdictOf(Create, name); e != 0 {
		return nil, nil, 0, e
	}
	inode, handle, fuseFlags, e := n.LoopbackNode.Create(ctx, name, flags, mode, out)
	return inode, n.wrap(handle, n.below(name)), fuseFlags, e
}

// Open implements fs.NodeOpener.
func (n *node) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	if e := n.fs.verdict(Open); e != 0 {
		return nil, 0, e
	}
	handle, fuseFlags, e := n.LoopbackNode.Open(ctx, flags)
	return n.wrap(handle, n.Path(nil)), fuseFlags, e
}

func (n *node) wrap(handle fs.FileHandle, name string) fs.FileHandle {
	if inner, ok := handle.(*fs.LoopbackFile); ok {
		return &file{inner, n.fs, name}
	}
	return handle
}

// Mkdir implements fs.NodeMkdirer.
func (n *node) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	if e := n.fs.verdict(Mkdir); e != 0 {
		return nil, e
	}
	n.fs.record(Event{Op: Mkdir, Path: n.below(name)})
	return n.LoopbackNode.Mkdir(ctx, name, mode, out)
}

// Link implements fs.NodeLinker.
func (n *node) Link(ctx context.Context, target fs.InodeEmbedder, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	if e := n.fs.verdict(Link); e != 0 {
		return nil, e
	}
	n.fs.record(Event{Op: Link, Path: target.EmbeddedInode().Path(nil), To: n.below(name)})
	return n.LoopbackNode.Link(ctx, target, name, out)
}

// Rename implements fs.NodeRenamer.
func (n *node) Rename(ctx context.Context, name string, parent fs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	if e := n.fs.verdict(Rename); e != 0 {
		return e
	}
	return n.LoopbackNode.Rename(ctx, name, parent, newName, flags)
}

// Unlink implements fs.NodeUnlinker.
func (n *node) Unlink(ctx context.Context, name string) syscall.Errno {
	if e := n.fs.verdict(Unlink); e != 0 {
		return e
	}
	return n.LoopbackNode.Unlink(ctx, name)
}

// Rmdir implements fs.NodeRmdirer.
func (n *node) Rmdir(ctx context.Context, name string) syscall.Errno {
	if e := n.fs.verdict(Rmdir); e != 0 {
		return e
	}
	return n.LoopbackNode.Rmdir(ctx, name)
}

// OpendirHandle implements fs.NodeOpendirHandler.
func (n *node) OpendirHandle(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	if e := n.fs.verdict(List); e != 0 {
		return nil, 0, e
	}
	handle, fuseFlags, e := n.LoopbackNode.OpendirHandle(ctx, flags)
	if inner, ok := handle.(folderHandle); ok {
		handle = &folder{inner, n.fs, n.Path(nil)}
	}
	return handle, fuseFlags, e
}

// folderHandle is what an open folder of go-fuse can do.
type folderHandle interface {
	fs.FileReaddirenter
	fs.FileSeekdirer
	fs.FileReleasedirer
	fs.FileFsyncdirer
}

// folder is an open folder.
type folder struct {
	folderHandle
	fs   *FS
	path string
}

// Fsyncdir implements fs.FileFsyncdirer.
func (d *folder) Fsyncdir(ctx context.Context, flags uint32) syscall.Errno {
	if e := d.fs.verdict(SyncDir); e != 0 {
		return e
	}
	e := d.folderHandle.Fsyncdir(ctx, flags)
	if e == 0 {
		d.fs.record(Event{Op: SyncDir, Path: d.path})
	}
	return e
}

// file is an open file.
type file struct {
	*fs.LoopbackFile
	fs   *FS
	name string // its path when it was opened
}

// PassthroughFd says that there is none: with one the kernel would read and
// write past this file system.
func (f *file) PassthroughFd() (int, bool) { return 0, false }

// Read implements fs.FileReader.
func (f *file) Read(ctx context.Context, buf []byte, offset int64) (fuse.ReadResult, syscall.Errno) {
	if e := f.fs.verdict(Read); e != 0 {
		return nil, e
	}
	return f.LoopbackFile.Read(ctx, buf, offset)
}

// Write implements fs.FileWriter.
func (f *file) Write(ctx context.Context, data []byte, offset int64) (uint32, syscall.Errno) {
	if e := f.fs.verdictOf(Write, f.name); e != 0 {
		return 0, e
	}
	f.fs.record(Event{Op: Write, Path: f.name})
	return f.LoopbackFile.Write(ctx, data, offset)
}

// Writev implements fs.FileWritever.
func (f *file) Writev(ctx context.Context, data [][]byte, offset int64) (uint32, syscall.Errno) {
	if e := f.fs.verdictOf(Write, f.name); e != 0 {
		return 0, e
	}
	f.fs.record(Event{Op: Write, Path: f.name})
	return f.LoopbackFile.Writev(ctx, data, offset)
}

// Fsync implements fs.FileFsyncer.
func (f *file) Fsync(ctx context.Context, flags uint32) syscall.Errno {
	if e := f.fs.verdictOf(Fsync, f.name); e != 0 {
		return e
	}
	e := f.LoopbackFile.Fsync(ctx, flags)
	if e == 0 {
		f.fs.record(Event{Op: Fsync, Path: f.name})
	}
	return e
}
