package destination

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/brockdb/brock/backup/fault"
)

func testDir(t *testing.T) *Dir {
	t.Helper()
	d, err := NewDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// putObject writes and commits, and aborts after a failure.
func putObject(ctx context.Context, d Destination, name string, mode Mode, content string) (err error) {
	w, err := d.Create(ctx, name, mode)
	if err != nil {
		return err
	}
	defer func() { err = also(err, w.Abort()) }()
	if _, err := io.WriteString(w, content); err != nil {
		return err
	}
	return w.Commit(ctx)
}

func getObject(t *testing.T, d Destination, name string) string {
	t.Helper()
	r, err := d.Open(t.Context(), name, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(r)
	if err := also(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// wantFiles checks every path below dir, hidden ones included.
func wantFiles(t *testing.T, dir string, want ...string) {
	t.Helper()
	var got []string
	err := filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error {
		if p != dir {
			got = append(got, strings.TrimPrefix(p, dir+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s has %q, want %q", dir, got, want)
	}
}

// TestDirPublishesWithoutHardLinks checks both ways of file systems that have
// no hard links.
func TestDirPublishesWithoutHardLinks(t *testing.T) {
	unsupported := func(*os.Root, string, string) error { return errors.ErrUnsupported }
	for name, ops := range map[string]func(*fileOps){
		"EPERM, rename": func(ops *fileOps) {
			ops.link = func(*os.Root, string, string) error { return &os.LinkError{Op: "link", Err: syscall.EPERM} }
		},
		"ENOTSUP, rename":    func(ops *fileOps) { ops.link = unsupported },
		"no rename, a claim": func(ops *fileOps) { ops.link, ops.renameNoReplace = unsupported, unsupported },
		"EINVAL, a claim": func(ops *fileOps) {
			ops.link = unsupported
			ops.renameNoReplace = func(*os.Root, string, string) error { return syscall.EINVAL }
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := testDir(t)
			ops(&d.ops)
			w, err := d.Create(t.Context(), "folder/object", Exclusive)
			if err != nil {
				t.Fatal(err)
			}
			if err := putObject(t.Context(), d, "folder/object", Exclusive, "first"); err != nil {
				t.Fatal(err)
			}
			if err := w.Commit(t.Context()); !fault.Is(err, fault.Exists) {
				t.Errorf("the second commit returned %v", err)
			}
			if err := w.Abort(); err != nil {
				t.Error(err)
			}
			if got := getObject(t, d, "folder/object"); got != "first" {
				t.Errorf("the object has %q", got)
			}
			wantFiles(t, d.root, "folder", "folder/object")
		})
	}
}

// TestDirLostAnswer is an NFS client that sent LINK or RENAME a second time.
func TestDirLostAnswer(t *testing.T) {
	d := testDir(t)
	d.ops.link = func(folder *os.Root, from, to string) error {
		if err := folder.Link(from, to); err != nil {
			return err
		}
		return folder.Link(from, to)
	}
	if err := putObject(t.Context(), d, "object", Exclusive, "content"); err != nil {
		t.Fatal(err)
	}
	if err := putObject(t.Context(), d, "object", Exclusive, "other"); !fault.Is(err, fault.Exists) {
		t.Errorf("got %v", err)
	}
	wantFiles(t, d.root, "object")

	w, err := d.Create(t.Context(), "object", Replace)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, "new"); err != nil {
		t.Fatal(err)
	}
	hidden := filepath.Join(d.root, w.(*dirWriter).temp)
	if err := os.Rename(hidden, filepath.Join(d.root, "object")); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(t.Context()); err != nil {
		t.Errorf("a rename that was done already: %v", err)
	}
	if got := getObject(t, d, "object"); got != "new" {
		t.Errorf("the object has %q", got)
	}
}

// TestDirCommitFails makes each step of a commit fail: nothing may be visible
// and nothing may be left.
func TestDirCommitFails(t *testing.T) {
	pathError := func(errno syscall.Errno) error { return &fs.PathError{Op: "sync", Path: "p", Err: errno} }
	for _, test := range []struct {
		name string
		ops  func(*fileOps)
		kind fault.Kind
		text string
		hint string
	}{
		{"fsync, full", func(ops *fileOps) {
			ops.syncFile = func(*os.File) error { return pathError(syscall.ENOSPC) }
		}, fault.NoSpace, "no space left on device", "prune"},
		{"fsync, quota", func(ops *fileOps) {
			ops.syncFile = func(*os.File) error { return pathError(syscall.EDQUOT) }
		}, fault.NoSpace, "quota", "quota"},
		{"fsync, damaged", func(ops *fileOps) {
			ops.syncFile = func(*os.File) error { return pathError(syscall.EIO) }
		}, fault.Other, "input/output error", "system log"},
		{"fsync, stale", func(ops *fileOps) {
			ops.syncFile = func(*os.File) error { return pathError(syscall.ESTALE) }
		}, fault.Other, "stale", "export"},
		{"link, full", func(ops *fileOps) {
			ops.link = func(*os.Root, string, string) error { return syscall.ENOSPC }
		}, fault.NoSpace, "no space", "prune"},
		{"link, denied", func(ops *fileOps) {
			ops.link = func(*os.Root, string, string) error { return syscall.EACCES }
		}, fault.Denied, "permission denied", "permission"},
		{"link, file swept", func(ops *fileOps) {
			ops.link = func(*os.Root, string, string) error { return syscall.ENOENT }
		}, fault.Other, "debris", ""},
		{"fsync of the folder", func(ops *fileOps) {
			ops.syncFolder = func(*os.File) error { return pathError(syscall.EIO) }
		}, fault.Other, "input/output error", "system log"},
		{"fsync of a parent", func(ops *fileOps) {
			calls := 0
			ops.syncFolder = func(*os.File) error {
				if calls++; calls < 3 {
					return nil
				}
				return pathError(syscall.ENOSPC)
			}
		}, fault.NoSpace, "no space", "prune"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := testDir(t)
			test.ops(&d.ops)
			w, err := d.Create(t.Context(), "a/b/object", Exclusive)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(w, "content"); err != nil {
				t.Fatal(err)
			}
			err = w.Commit(t.Context())
			if !fault.Is(err, test.kind) || !strings.Contains(err.Error(), test.text) || !strings.Contains(fault.HintOf(err), test.hint) {
				t.Errorf("commit returned %v (%v), hint %q", err, fault.KindOf(err), fault.HintOf(err))
			}
			if !strings.HasPrefix(err.Error(), "cannot commit "+d.root+"/a/b/object: ") {
				t.Errorf("the error reads %q", err)
			}
			if _, err := d.Stat(t.Context(), "a/b/object"); !fault.Is(err, fault.NotFound) {
				t.Errorf("after the failed commit stat returned %v", err)
			}
			if again := w.Commit(t.Context()); !errors.Is(again, err) {
				t.Errorf("the second commit returned %v", again)
			}
			if err := w.Abort(); err != nil {
				t.Error(err)
			}
			wantFiles(t, d.root)
		})
	}
}

// TestDirTakesBackOnlyItsOwn lets another object take the name between the link
// and the failing sync.
func TestDirTakesBackOnlyItsOwn(t *testing.T) {
	d := testDir(t)
	d.ops.syncFolder = func(*os.File) error {
		object := filepath.Join(d.root, "object")
		return also(syscall.EIO, also(os.WriteFile(object+"2", []byte("other"), 0o600), os.Rename(object+"2", object)))
	}
	if err := putObject(t.Context(), d, "object", Exclusive, "own"); !errors.Is(err, syscall.EIO) {
		t.Errorf("got %v", err)
	}
	if got := getObject(t, d, "object"); got != "other" {
		t.Errorf("the object has %q", got)
	}
}

// TestDirSyncsWhatItMade checks that every folder on the way is synced: those a
// Create makes, and those a writer that died may have made.
func TestDirSyncsWhatItMade(t *testing.T) {
	top := t.TempDir()
	d, err := NewDir(filepath.Join(top, "x", "y"))
	if err != nil {
		t.Fatal(err)
	}
	var synced []string
	d.ops.syncFolder = func(f *os.File) error {
		name := strings.TrimPrefix(f.Name(), top)
		synced = append(synced, filepath.Clean("/"+name))
		return nil
	}
	for _, want := range [][]string{
		{"/", "/x", "/x/y/a/b", "/x/y/a", "/x/y"},
		{"/x/y/a/b", "/x/y/a", "/x/y"},
	} {
		synced = nil
		if err := putObject(t.Context(), d, "a/b/object", Replace, ""); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(synced, want) {
			t.Errorf("synced %q, want %q", synced, want)
		}
	}
	synced = nil
	if err := d.Remove(t.Context(), "a/b/object"); err != nil {
		t.Fatal(err)
	}
	if want := []string{"/x/y"}; !slices.Equal(synced, want) {
		t.Errorf("a removal synced %q, want %q", synced, want)
	}
}

func TestDirRefusesWhatIsNoDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, root := range []string{file, filepath.Join(file, "below")} {
		d, err := NewDir(root)
		if err != nil {
			t.Fatal(err)
		}
		_, createErr := d.Create(t.Context(), "a", Replace)
		_, statErr := d.Stat(t.Context(), "a")
		for call, err := range map[string]error{
			"create": createErr, "stat": statErr, "list": d.List(t.Context(), "", nil),
			"remove": d.Remove(t.Context(), "a"), "debris": d.RemoveDebris(t.Context(), ""),
		} {
			if !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), "not a directory") {
				t.Errorf("%s at %s: %v", call, root, err)
			}
		}
	}
}

// TestDirTakenNames creates objects where folders are and the other way round.
func TestDirTakenNames(t *testing.T) {
	d := testDir(t)
	if err := putObject(t.Context(), d, "a/b", Exclusive, ""); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "a/b/c", "a/b/c/d"} {
		for _, mode := range []Mode{Exclusive, Replace} {
			if err := putObject(t.Context(), d, name, mode, ""); !fault.Is(err, fault.Exists) {
				t.Errorf("%s, mode %d: %v", name, mode, err)
			}
		}
	}
	if _, err := d.Create(t.Context(), "x", Mode(7)); !fault.Is(err, fault.Usage) {
		t.Errorf("an unknown mode: %v", err)
	}
	wantFiles(t, d.root, "a", "a/b")
}

// TestDirLinksAndSpecialFiles puts things at a destination that are no objects.
func TestDirLinksAndSpecialFiles(t *testing.T) {
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := testDir(t)
	if err := putObject(t.Context(), d, "object", Exclusive, "x"); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{
		"absolute": outside, "file": filepath.Join(outside, "secret"),
		"relative": "../" + filepath.Base(outside), "dangling": "nowhere", "inside": "object", "loop": "loop",
	} {
		if err := os.Symlink(target, filepath.Join(d.root, link)); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{link, link + "/secret"} {
			if _, err := d.Open(t.Context(), name, 0, -1); err == nil {
				t.Errorf("%s was opened", name)
			}
			if _, err := d.Stat(t.Context(), name); err == nil {
				t.Errorf("%s was found", name)
			}
			if err := d.Remove(t.Context(), name); err == nil {
				t.Errorf("%s was removed", name)
			}
		}
		if err := putObject(t.Context(), d, link+"/new", Replace, ""); err == nil {
			t.Errorf("an object was written below %s", link)
		}
		if err := d.RemoveDebris(t.Context(), link); err != nil {
			t.Errorf("debris of %s: %v", link, err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(d.root, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Open(t.Context(), "pipe", 0, -1); !fault.Is(err, fault.NotFound) {
		t.Errorf("opening a pipe: %v", err)
	}
	if err := d.List(t.Context(), "pipe", nil); err != nil {
		t.Errorf("listing a pipe: %v", err)
	}
	wantFiles(t, outside, "secret")
	var listed []string
	err := d.List(t.Context(), "", func(info Info) error {
		listed = append(listed, info.Name)
		return nil
	})
	if err != nil || !slices.Equal(listed, []string{"object"}) {
		t.Errorf("listed %q, %v", listed, err)
	}
}

// TestDirReaderOfShrinkingFile cuts a file after it was opened.
func TestDirReaderOfShrinkingFile(t *testing.T) {
	d := testDir(t)
	if err := putObject(t.Context(), d, "object", Exclusive, "0123456789"); err != nil {
		t.Fatal(err)
	}
	r, err := d.Open(t.Context(), "object", 2, 6)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := os.Truncate(filepath.Join(d.root, "object"), 5); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if string(got) != "234" || !errors.Is(err, io.ErrUnexpectedEOF) || !fault.Is(err, fault.Corrupt) {
		t.Errorf("read %q, %v", got, err)
	}
}

// TestDirStartsWriteback writes across the border at which write-back starts.
func TestDirStartsWriteback(t *testing.T) {
	d := testDir(t)
	type extent struct{ offset, length int64 }
	var started []extent
	var failure error
	d.ops.startWriteback = func(f *os.File, offset, length int64) error {
		started = append(started, extent{offset, length})
		return also(startWriteback(f, offset, length), failure)
	}
	w, err := d.Create(t.Context(), "object", Exclusive)
	if err != nil {
		t.Fatal(err)
	}
	content := make([]byte, writebackBytes+1)
	if n, err := w.Write(content); err != nil || n != len(content) {
		t.Fatalf("wrote %d, %v", n, err)
	}
	failure = syscall.ENOSPC // as a server with delayed allocation may answer
	n, err := w.Write(content)
	if !fault.Is(err, fault.NoSpace) || n > len(content) {
		t.Errorf("wrote %d, %v", n, err)
	}
	// The second begins where the first ended; it is longer by the byte that was
	// written in between, and ends with the piece that crosses the border.
	want := []extent{{0, writebackBytes}, {writebackBytes, writebackBytes + 1}}
	if !slices.Equal(started, want) {
		t.Errorf("write-back was started for %v", started)
	}
	if again := w.Commit(t.Context()); !errors.Is(again, err) {
		t.Errorf("commit returned %v", again)
	}
	if err := w.Abort(); err != nil {
		t.Error(err)
	}
	wantFiles(t, d.root)
}

// TestDirExclusiveFailsEarly spares a writer the bytes when the name is taken.
func TestDirExclusiveFailsEarly(t *testing.T) {
	d := testDir(t)
	if err := putObject(t.Context(), d, "object", Exclusive, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Create(t.Context(), "object", Exclusive); !fault.Is(err, fault.Exists) {
		t.Errorf("create returned %v", err)
	}
}

func TestDirPermissions(t *testing.T) {
	d, err := NewDir(filepath.Join(t.TempDir(), "root"))
	if err != nil {
		t.Fatal(err)
	}
	if err := putObject(t.Context(), d, "folder/object", Exclusive, ""); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "folder", "folder/object"} {
		info, err := os.Stat(filepath.Join(d.root, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o027 != 0 {
			t.Errorf("%q has mode %v: others can read it, or the group can write it", name, info.Mode())
		}
	}
}
