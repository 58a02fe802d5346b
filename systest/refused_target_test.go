package systest

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestRefusedTargets asks for a restore to where none may go, and for an alpha
// in a directory that is not its own.
func TestRefusedTargets(t *testing.T) {
	t.Parallel()
	d := newDamageable(t, 0)
	refused := func(target string, code int, texts ...string) {
		t.Helper()
		before := tree(t, filepath.Dir(target))
		brock(t, "restore", "-p", target, "-l", d.dir, "--force_zero=false").expect(t, code, texts...)
		if after := tree(t, filepath.Dir(target)); fmt.Sprint(before) != fmt.Sprint(after) {
			t.Errorf("there was %q and is %q", before, after)
		}
	}
	full := t.TempDir()
	makeFile(t, full, "p1/precious")
	refused(full, exitError, "cannot restore to "+filepath.Join(full, "p1")+": the directory is not empty",
		"hint: choose another directory with -p, or move this one away")
	foreign := t.TempDir()
	makeFile(t, foreign, "p1.tmp/precious")
	refused(foreign, exitError, "the directory is not empty and not an interrupted restore's", "hint: move it away")
	file := t.TempDir()
	makeFile(t, file, "p1")
	refused(file, exitError, "not a directory")

	empty := t.TempDir()
	if err := os.Mkdir(filepath.Join(empty, "p1"), 0o755); err != nil {
		t.Fatal(err)
	}
	good(t, "restore", "-p", empty, "-l", d.dir, "--force_zero=false")
	p1 := filepath.Join(empty, "p1")
	notServed := func(dir string, code int, texts ...string) {
		t.Helper()
		r := brock(t, "alpha", "-p", dir, "--http", "127.0.0.1:0", "--group", "2").expect(t, code, texts...)
		if r.stdout != "" {
			t.Errorf("it says %q", r.stdout)
		}
	}
	notServed(p1, exitError, "it belongs to group 1, not to group 2", "hint: start the alpha with --group 1")
	notServed(empty, exitUsage, "it is not empty and no Badger store: it has p1", "hint: name an empty directory")
	a := startAlpha(t, p1)
	notServed(p1, exitError, fmt.Sprintf("process %d has it open", a.cmd.Process.Pid), "hint: stop that one")
	a.check(t, d.models[2], "after all refusals")
	a.stop(t)
}

func makeFile(t *testing.T, dir, name string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, path, []byte("precious"))
}
