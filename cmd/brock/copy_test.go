package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/brockdb/brock/backup"
)

func TestCopy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	old := write(t, filepath.Join(dir, "old"), strings.Repeat("o", 32))
	m := makeSeries(t, "--encryption_key_file", old)
	to := filepath.Join(dir, "to")
	args := []string{"copy", "-l", m.destination, "-d", to, "--encryption_key_file", old}
	golden(t, "copy.txt", stable(good(t, args...).stdout))
	golden(t, "copy-again.txt", stable(good(t, args...).stdout))
	good(t, "verify", "-l", to, "--level", "full", "--encryption_key_file", old)

	blind := good(t, "copy", "-l", m.destination, "-d", filepath.Join(dir, "blind"), "--all", "--output", "json")
	var report backup.Copied
	if err := json.Unmarshal([]byte(blind.stdout), &report); err != nil {
		t.Fatalf("%v: %s", err, blind.stdout)
	}
	if len(report.Series) != 1 || !report.Series[0].Complete || report.Series[0].Authenticated || report.Series[0].BackupsCopied != 2 {
		t.Errorf("the report is %+v", report)
	}
	good(t, "verify", "-l", filepath.Join(dir, "blind"), "--level", "full", "--encryption_key_file", old)
}

func TestRekey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := makeSeries(t)
	first := write(t, filepath.Join(dir, "first"), strings.Repeat("1", 16))
	second := write(t, filepath.Join(dir, "second"), strings.Repeat("2", 32))
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	golden(t, "rekey.txt", stable(good(t, "rekey", "-l", m.destination, "-d", a, "--new_encryption_key_file", first).stdout))
	good(t, "rekey", "-l", a, "-d", b, "--encryption_key_file", first, "--new_encryption_key_file", second)
	brock(t, "verify", "-l", b, "--level", "full", "--encryption_key_file", first).expect(t, exitError, "key")
	good(t, "verify", "-l", b, "--level", "full", "--encryption_key_file", second)
	good(t, "restore", "-p", filepath.Join(dir, "r"), "-l", b, "--encryption_key_file", second, "--force_zero=false")
	restored := startAlpha(t, filepath.Join(dir, "r", "p1"))
	if restored.dump(t, "c") != m.dumps[1] {
		t.Error("what was restored is not what was acknowledged")
	}
	restored.stop(t)
}

func TestCopyRefusals(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := makeSeries(t)
	key := write(t, filepath.Join(dir, "key"), strings.Repeat("1", 16))
	to := filepath.Join(dir, "to")
	for _, c := range []struct {
		args []string
		code int
		text string
	}{
		{[]string{"copy", "-l", m.destination, "-d", m.destination}, exitUsage, "it is the destination as well"},
		{[]string{"copy", "-l", m.destination, "-d", to, "--backup_id", "x"}, exitError, `no series has backup id "x"`},
		{[]string{"copy", "-l", m.destination, "-d", to, "--backup_id", "x", "--all"}, exitUsage, "--backup_id names one series"},
		{[]string{"copy", "-l", filepath.Join(dir, "empty"), "-d", to}, exitError, "there is no backup"},
		{[]string{"copy", "-l", m.destination, "-d", to, "--encryption_key_file", key}, exitError, "is not encrypted"},
		{[]string{"rekey", "-l", m.destination, "-d", to}, exitUsage, "none is given"},
		{[]string{"rekey", "-l", m.destination, "-d", to, "--new_encryption_key_file", key, "--new_vault_version", "2"}, exitUsage, "name two"},
		{[]string{"rekey", "-l", m.destination, "-d", to, "--new_vault_version", "2"}, exitUsage, "no Vault is named"},
	} {
		r := brock(t, c.args...)
		r.expect(t, c.code, c.text)
		if r.stdout != "" {
			t.Errorf("brock %s prints %s", strings.Join(c.args, " "), r.stdout)
		}
	}
	if _, err := os.Stat(to); err == nil {
		t.Error("a refused copy has made its destination")
	}
}
