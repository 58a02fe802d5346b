package main

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestPartialBackupAndOnlineRestore(t *testing.T) {
	t.Parallel()
	a := startAlpha(t, filepath.Join(t.TempDir(), "p"))
	me := call{env: []string{"BROCK_ALPHA=" + a.url}}
	to := filepath.Join(t.TempDir(), "b")
	a.load(t, "c", records(20, "x"))
	a.load(t, "d", records(20, "y"))
	me.run(t, "backup", "-d", to, "--include", "c", "--wait").expect(t, exitGood)
	me.run(t, "backup", "-d", to, "--include", "nothing").expect(t, exitError, "there is no collection", "hint: ")
	me.run(t, "backup", "-d", to, "--include", "c", "--exclude", "d").expect(t, exitUsage)

	a.load(t, "c", records(20, "z"))
	me.run(t, "admin", "restore", "-l", to).expect(t, exitError, "hint: ")
	me.run(t, "admin", "restore", "-l", to, "--rename", "c").expect(t, exitUsage, `"c" is not FROM=TO`)
	renamed := me.run(t, "admin", "restore", "-l", to, "--rename", "c=before", "--wait")
	renamed.expect(t, exitGood)
	if !strings.HasPrefix(renamed.stdout, "restore: ") || a.dump(t, "before") != records(20, "x") || a.dump(t, "c") != records(20, "z") {
		t.Errorf("restored under another name: %q", renamed.stdout)
	}
	me.run(t, "admin", "restore", "-l", to, "--overwrite", "--wait").expect(t, exitGood)
	if a.dump(t, "c") != records(20, "x") || a.dump(t, "d") != records(20, "y") {
		t.Error("what was restored over c differs from what was backed up")
	}
}

func TestCopyByAlpha(t *testing.T) {
	t.Parallel()
	a := startAlpha(t, filepath.Join(t.TempDir(), "p"))
	me := call{env: []string{"BROCK_ALPHA=" + a.url}}
	from, to := filepath.Join(t.TempDir(), "b"), filepath.Join(t.TempDir(), "copy")
	a.load(t, "c", records(20, "x"))
	me.run(t, "backup", "-d", from, "--wait").expect(t, exitGood)
	me.run(t, "admin", "copy", "-l", from, "-d", to, "--wait").expect(t, exitGood)
	if a, b := good(t, "lsbackup", "-l", from).stdout, good(t, "lsbackup", "-l", to).stdout; a != b {
		t.Errorf("the copy has the backups %s, not %s", b, a)
	}
	good(t, "verify", "-l", to, "--level", "full")
}
