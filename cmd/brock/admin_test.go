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

func TestVerifyAndPruneByAlpha(t *testing.T) {
	t.Parallel()
	a := startAlpha(t, filepath.Join(t.TempDir(), "p"))
	me := call{env: []string{"BROCK_ALPHA=" + a.url}}
	to := filepath.Join(t.TempDir(), "b")
	a.load(t, "c", records(20, "x"))
	for range 3 {
		me.run(t, "backup", "-d", to, "--force_full", "--wait").expect(t, exitGood)
	}
	verified := me.run(t, "admin", "verify", "-l", to, "--level", "full", "--wait")
	verified.expect(t, exitGood)
	if !strings.HasPrefix(verified.stdout, "verify: ") {
		t.Errorf("verify says %q", verified.stdout)
	}
	listed := func() int { return strings.Count(good(t, "lsbackup", "-l", to).stdout, `"backup_id"`) }
	me.run(t, "admin", "prune", "-l", to, "--keep_last", "1", "--wait").expect(t, exitGood)
	if n := listed(); n != 3 {
		t.Errorf("after a dry run there are %d backups", n)
	}
	me.run(t, "admin", "prune", "-l", to, "--keep_last", "1", "--dry_run=false", "--wait").expect(t, exitGood)
	if n := listed(); n != 1 {
		t.Errorf("after the prune there are %d backups", n)
	}
	damage(t, to)
	me.run(t, "admin", "verify", "-l", to, "--level", "full", "--wait").expect(t, exitDamaged, "cannot finish task 0x")
}

// damage changes a byte of a part of a backup.
func damage(t *testing.T, location string) {
	t.Helper()
	parts, err := filepath.Glob(filepath.Join(location, "brock.*", "*.backup"))
	if err != nil || len(parts) == 0 {
		t.Fatalf("parts %v, %v", parts, err)
	}
	bytes := []byte(read(t, parts[0]))
	bytes[len(bytes)/2] ^= 1
	write(t, parts[0], string(bytes))
}
