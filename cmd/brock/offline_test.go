package main

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	badger "github.com/dgraph-io/badger/v4"
)

// fingerprint tells everything about a directory that a change would change:
// names, modes, times, contents.
func fingerprint(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		fmt.Fprintln(&all, path, info.Mode(), info.ModTime().UnixNano(), info.Size())
		if entry.IsDir() {
			return nil
		}
		content, err := os.ReadFile(path)
		fmt.Fprintf(&all, "%x\n", sha256.Sum256(content))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// badgerOptions are those of a program that knows nothing of brock.
func badgerOptions(dir string, key []byte) badger.Options {
	o := badger.DefaultOptions(dir).WithLogger(nil).WithMemTableSize(1 << 20).WithValueThreshold(1 << 10).WithValueLogFileSize(8 << 20).WithNumVersionsToKeep(1)
	if len(key) > 0 {
		o = o.WithEncryptionKey(key).WithIndexCacheSize(16 << 20)
	}
	return o
}

// content reads everything in a Badger directory.
func content(t *testing.T, o badger.Options) map[string]string {
	t.Helper()
	db, err := badger.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	all := make(map[string]string)
	err = db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.DefaultIteratorOptions)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			value, err := it.Item().ValueCopy(nil)
			if err != nil {
				return err
			}
			all[string(it.Item().Key())] = fmt.Sprint(len(value), string(value[:min(len(value), 30)]), it.Item().UserMeta(), it.Item().ExpiresAt())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// fillBadger does what some program does with its Badger.
func fillBadger(t *testing.T, db *badger.DB) {
	t.Helper()
	batch := db.NewWriteBatch()
	for i := range 3000 {
		entry := badger.NewEntry(fmt.Appendf(nil, "%c/%05d", "\x00\x01\x02a\xff"[i%5], i), fmt.Appendf(nil, "value %d", i)).WithMeta(byte(i))
		if i%7 == 0 {
			entry.Value = []byte(strings.Repeat(fmt.Sprint(i), 1000)) // in the value log
		}
		if i%11 == 0 {
			entry = entry.WithTTL(100 * time.Hour)
		}
		if err := batch.SetEntry(entry); err != nil {
			t.Fatal(err)
		}
	}
	if err := batch.Flush(); err != nil {
		t.Fatal(err)
	}
	err := db.Update(func(txn *badger.Txn) error { return txn.Delete([]byte("a/00003")) })
	if err != nil {
		t.Fatal(err)
	}
}

// TestBackupDir backs up the directory of another program, with a key at rest
// and without, and brings every key of it back.
func TestBackupDir(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]string{"plain": "", "encrypted at rest": strings.Repeat("k", 32)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			db, err := badger.Open(badgerOptions(filepath.Join(dir, "app"), []byte(key)))
			if err != nil {
				t.Fatal(err)
			}
			fillBadger(t, db)
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			backupKey := write(t, filepath.Join(dir, "backup.key"), strings.Repeat("b", 32))
			args := []string{"backup", "--dir", filepath.Join(dir, "app"), "-d", filepath.Join(dir, "to"), "--encryption_key_file", backupKey}
			if key != "" {
				args = append(args, "--badger_key_file", write(t, filepath.Join(dir, "atrest.key"), key))
			}
			before := fingerprint(t, filepath.Join(dir, "app"))
			for range 2 {
				r := good(t, args...)
				if !strings.HasPrefix(r.stdout, "backup 1 of series ") || !strings.Contains(r.stderr, "is not of an alpha") {
					t.Errorf("stdout %q, stderr %q", r.stdout, r.stderr)
				}
			}
			if after := fingerprint(t, filepath.Join(dir, "app")); after != before {
				t.Errorf("the backup changed the directory:\n%s\n%s", before, after)
			}
			good(t, "verify", "-l", filepath.Join(dir, "to"), "--level", "restore", "--encryption_key_file", backupKey)
			good(t, "restore", "-p", filepath.Join(dir, "back"), "-l", filepath.Join(dir, "to"), "--force_zero=false", "--encryption_key_file", backupKey)
			want := content(t, badgerOptions(filepath.Join(dir, "app"), []byte(key)))
			got := content(t, badgerOptions(filepath.Join(dir, "back/p1"), nil))
			if len(want) != 2999 || len(got) != len(want) {
				t.Fatalf("%d keys came back of %d", len(got), len(want))
			}
			for k, v := range want {
				if got[k] != v {
					t.Fatalf("key %q came back as %q, want %q", k, got[k], v)
				}
			}
		})
	}
}

// TestBackupDirOfAlpha backs up what an alpha has left, and goes on with it.
func TestBackupDirOfAlpha(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := startAlpha(t, filepath.Join(dir, "p"))
	a.load(t, "c", records(500, "x"))
	a.load(t, "c", "{\"value\":\"with a uid\"}\n")
	want := a.dump(t, "c")
	to := filepath.Join(dir, "to")
	brock(t, "backup", "--dir", filepath.Join(dir, "p"), "-d", to).expect(t, exitError, "a process has it open", "--alpha URL")
	a.stop(t)
	before := fingerprint(t, filepath.Join(dir, "p"))
	r := good(t, "backup", "--dir", filepath.Join(dir, "p"), "-d", to)
	if strings.Contains(r.stderr, "is not of an alpha") || fingerprint(t, filepath.Join(dir, "p")) != before {
		t.Errorf("stderr %q", r.stderr)
	}
	good(t, "restore", "-p", filepath.Join(dir, "r"), "-l", to, "--force_zero=false")
	a = startAlpha(t, filepath.Join(dir, "r/p1"))
	if a.dump(t, "c") != want {
		t.Error("what was restored is not what the alpha held")
	}
	a.stop(t)
}

func TestBackupDirRefusals(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	db, err := badger.Open(badgerOptions(in("open"), nil))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	fillBadger(t, db)
	// What a process leaves that dies: its memtable is in its log only.
	if err := os.CopyFS(in("crashed"), os.DirFS(in("open"))); err != nil {
		t.Fatal(err)
	}
	keyed, err := badger.Open(badgerOptions(in("keyed"), []byte(strings.Repeat("k", 16))))
	if err != nil {
		t.Fatal(err)
	}
	if err := keyed.Close(); err != nil {
		t.Fatal(err)
	}
	mkdir(t, in("empty"))
	wrong := write(t, in("wrong.key"), strings.Repeat("w", 16))
	for _, c := range []struct {
		args  []string
		code  int
		texts []string
	}{
		{[]string{in("open")}, exitError, []string{"a process has it open"}},
		{[]string{in("crashed")}, exitError, []string{"has to be recovered first", "open and close it once"}},
		{[]string{in("missing")}, exitError, []string{"there is no such directory"}},
		{[]string{in("empty")}, exitUsage, []string{"it has no file MANIFEST"}},
		{[]string{in("keyed")}, exitError, []string{"no key was given", "--badger_key_file"}},
		{[]string{in("keyed"), "--badger_key_file", wrong}, exitError, []string{"another key than the one given"}},
		{[]string{in("open"), "-d", in("open/backups")}, exitUsage, []string{"inside the directory that is backed up"}},
		{[]string{in("open"), "--alpha", "http://127.0.0.1:1"}, exitUsage, []string{"cannot use flag --alpha"}},
	} {
		before := ""
		if c.args[0] != in("missing") {
			before = fingerprint(t, c.args[0])
		}
		brock(t, append([]string{"backup", "-d", in("to"), "--dir"}, c.args...)...).expect(t, c.code, c.texts...)
		if c.args[0] != in("missing") && fingerprint(t, c.args[0]) != before {
			t.Errorf("%v changed the directory", c.args)
		}
	}
	brock(t, "backup", "-d", in("to"), "--value_dir", in("v")).expect(t, exitUsage, "cannot use flag --value_dir: it goes with --dir")
	expectEntries(t, dir, "crashed", "empty", "keyed", "open", "wrong.key")
}
