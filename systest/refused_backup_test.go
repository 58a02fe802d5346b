package systest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/brockdb/brock/backup/fault"
)

// TestRefusedBackups asks for backups that cannot be. What can be told at once
// is an error of the mutation, with what to do about it; no task is made of it
// and nothing is written.
func TestRefusedBackups(t *testing.T) {
	t.Parallel()
	m := model{}
	a := startAlpha(t, t.TempDir())
	a.store(t, m, bankRef, putRecord{"k", []byte(`"v"`)})
	dir := t.TempDir()
	file := writeFile(t, filepath.Join(dir, "file"), nil)
	const forms = "a destination is an absolute path (/backups/db1) or a URI (file:///backups/db1, s3:///bucket/db1, "
	for _, c := range []struct {
		destination string
		kind        fault.Kind
		text, hint  string
	}{
		{"", fault.Usage, "cannot open destination: it is empty", forms},
		{" ", fault.Usage, `" " is not an absolute path`, forms},
		{"relative/path", fault.Usage, `"relative/path" is not an absolute path`, forms},
		{"./here", fault.Usage, "is not an absolute path", forms},
		{"file://relative/path", fault.Usage, "a file URI has no host", "three slashes precede the path"},
		{"file:///a?b=c", fault.Usage, "a file URI has no query and no fragment", "%3F"},
		{"ftp://host/path", fault.Usage, `unknown scheme "ftp"`, forms},
		{"s3://bucket/db", fault.Usage, `"bucket" is no endpoint of S3`, "three slashes precede a bucket"},
		{"s3:///bucket?accessKey=AKIA", fault.Usage, "the query has a key other than secure", "in their own fields"},
		{"s3://AKIA:secret@host/bucket", fault.Usage, "the URI contains a user name or password", "in their own fields"},
		{"/with\nnewline", fault.Usage, "it contains a control character", forms},
		{file, fault.Usage, "the destination is not a directory", "name a directory"},
		{filepath.Join(file, "below"), fault.Usage, "the destination is not a directory", "name a directory"},
		{"/proc/nothing/can/be/made/here", fault.NotFound, "no such file or directory", ""},
		{"/" + strings.Repeat("x", 300), fault.Other, "file name too long", ""},
	} {
		_, err := a.submit(t, c.destination, false)
		wantRefusal(t, err, c.kind, c.text, c.hint)
	}
	if tasks := a.tasks(t); len(tasks) != 0 {
		t.Errorf("refused backups have made the tasks %+v", tasks)
	}
	if all := files(t, dir); !slices.Equal(all, []string{file}) {
		t.Errorf("there is %q", all)
	}
	_, err := a.task(t, "0x2a")
	wantRefusal(t, err, fault.NotFound, `there is no task "0x2a"`, "a task's id is in the answer")
	a.stop(t)
}

// TestMixedSeries asks for backups that do not fit the series at a destination.
func TestMixedSeries(t *testing.T) {
	t.Parallel()
	const hint = "start a new series with forceFull: true"
	m := model{}
	destination := t.TempDir()
	a := startAlpha(t, t.TempDir())
	a.store(t, m, bankRef, putRecord{"k", []byte(`"v"`)})
	refused := func(a *alpha, kind fault.Kind, text, hint string) {
		t.Helper()
		before := tree(t, destination)
		tasks := len(a.tasks(t))
		_, err := a.submit(t, destination, false)
		wantRefusal(t, err, kind, text, hint)
		if after := tree(t, destination); !slices.Equal(before[1:], after[1:]) || len(a.tasks(t)) != tasks {
			t.Errorf("there was %q and is %q", before, after)
		}
	}
	with := func(a *alpha, keyFlags ...string) *alpha {
		t.Helper()
		a.stop(t)
		return startAlpha(t, a.dir, keyFlags...)
	}
	key16, key24 := keyFile(t, 16), keyFile(t, 24)
	a.backup(t, destination, false)
	other := startAlpha(t, t.TempDir())
	refused(other, fault.Mixed, "it is of another database", hint)
	other.stop(t)

	a = with(a, "--encryption_key_file", key16)
	refused(a, fault.Mixed, "it is not encrypted and this backup would be", hint)
	secret := a.backup(t, destination, true)
	a = with(a)
	refused(a, fault.Mixed, "it is encrypted (key id ", hint)
	a = with(a, "--encryption_key_file", key24)
	refused(a, fault.Mixed, "it is encrypted with key ", hint)
	a = with(a, "--encryption_key_file", key16)
	if next := a.backup(t, destination, false); next.BackupID != secret.BackupID || next.BackupNum != 2 {
		t.Errorf("with the right key the series goes on as %+v", next)
	}

	path := filepath.Join(destination, secret.Path, "manifest.json")
	whole := readFile(t, path)
	writeFile(t, path, whole[:len(whole)-20])
	refused(a, fault.Corrupt, "cannot extend ", "forceFull: true")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	refused(a, fault.Corrupt, "backup number 1 is missing", hint)
	full := a.backup(t, destination, true)
	a.stop(t)
	r := startAlpha(t, restoreBackup(t, destination, full.BackupID, 1, "--encryption_key_file", key16).dir)
	r.check(t, m, "after all refusals")
	r.stop(t)
}
