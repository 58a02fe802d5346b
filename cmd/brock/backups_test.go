package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/brockdb/brock/backup/manifest"
	"github.com/brockdb/brock/restore"
)

func mkdir(t *testing.T, dir string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
}

// made is a series of two backups with the dumps of collection c at each.
type made struct {
	destination string
	dumps       [2]string
}

// makeSeries lets an alpha make a full and an incremental backup.
func makeSeries(t *testing.T, args ...string) made {
	t.Helper()
	dir := t.TempDir()
	m := made{destination: filepath.Join(dir, "backups")}
	a := startAlpha(t, filepath.Join(dir, "p"), args...)
	a.load(t, "c", records(3000, "first"))
	a.load(t, "dropped", records(10, "x"))
	a.load(t, "c", "{\"value\":\"with a uid\"}\n")
	m.dumps[0] = a.dump(t, "c")
	a.backup(t, m.destination)
	a.load(t, "c", records(1000, "second"))
	a.load(t, "c", "{\"value\":\"with another\"}\n")
	if err := a.Data(t.Context(), `mutation {
		remove(input: {collection: "c", keys: ["k00001", "k02999"]}) { commitTs }
		dropCollection(input: {collection: "dropped"}) { commitTs }
	}`, nil, nil); err != nil {
		t.Fatal(err)
	}
	m.dumps[1] = a.dump(t, "c")
	a.backup(t, m.destination)
	a.stop(t)
	if m.dumps[0] == m.dumps[1] {
		t.Fatal("nothing changed between the backups")
	}
	return m
}

// folders returns the backups' folders in order.
func (m made) folders(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(m.destination, "brock.*.*"))
	if err != nil || len(found) != len(m.dumps) {
		t.Fatalf("folders %q, %v", found, err)
	}
	return found
}

func TestRestore(t *testing.T) {
	t.Parallel()
	m := makeSeries(t)
	for i, num := range []string{"1", "2", "0"} {
		dir := t.TempDir()
		r := call{dir: dir}.run(t, "restore", "-p", "here/r", "-l", m.destination, "--backup_num", num, "--force_zero=false")
		r.expect(t, exitGood, "Restoring series ", "group 1 -> here/r/p1", "records restored", "brock alpha --group 1 -p here/r/p1")
		uid := min(i+1, 2)
		if !regexp.MustCompile(`^Restore version: \d+\nRestore max uid: ` + string(rune('0'+uid)) + `\n$`).MatchString(r.stdout) {
			t.Errorf("number %s: stdout is %q", num, r.stdout)
		}
		expectEntries(t, filepath.Join(dir, "here/r"), "p1")
		a := call{dir: dir}.startAlpha(t, "here/r/p1")
		if a.dump(t, "c") != m.dumps[min(i, 1)] {
			t.Errorf("number %s: what was restored is not what was acknowledged", num)
		}
		a.load(t, "c", "{\"value\":\"after\"}\n")
		if key := []string{"0x2", "0x3", "0x3"}[i]; !strings.Contains(a.dump(t, "c"), `{"key":"`+key+`","value":"after"}`) {
			t.Errorf("number %s: the next uid is not %s:\n%s", num, key, a.dump(t, "c")[:200])
		}
		a.stop(t)
	}
}

func TestRestoreJSON(t *testing.T) {
	t.Parallel()
	m := makeSeries(t)
	dir := t.TempDir()
	r := good(t, "restore", "-p", dir, "-l", m.destination, "--force_zero=false", "--output", "json")
	var result restore.Result
	if err := json.Unmarshal([]byte(r.stdout), &result); err != nil {
		t.Fatalf("%v: %s", err, r.stdout)
	}
	if result.BackupNum != 2 || result.MaxUID != 2 || result.Version == 0 || result.Records < 3000 ||
		len(result.Dirs) != 1 || result.Dirs[0] != filepath.Join(dir, "p1") {
		t.Errorf("result is %+v", result)
	}
}

func TestRestoreDryRun(t *testing.T) {
	t.Parallel()
	m := makeSeries(t)
	dir := t.TempDir()
	r := call{dir: dir}.run(t, "restore", "-p", "r", "-l", "file://"+m.destination, "--force_zero=false", "--dry_run")
	r.expect(t, exitGood)
	for _, text := range []string{"Restoring series ", "backups 1 to 2", "full", "incremental", "group 1 -> r/p1"} {
		if !strings.Contains(r.stdout, text) {
			t.Errorf("the plan lacks %q:\n%s", text, r.stdout)
		}
	}
	expectEntries(t, dir)
}

func TestRestoreRefusals(t *testing.T) {
	t.Parallel()
	m := makeSeries(t)
	dir := t.TempDir()
	mkdir(t, filepath.Join(dir, "full"))
	mkdir(t, filepath.Join(dir, "full/p1"))
	write(t, filepath.Join(dir, "full/p1/mine"), "mine")
	key := write(t, filepath.Join(dir, "key"), strings.Repeat("k", 16))
	for _, c := range []struct {
		args  string
		texts []string
	}{
		{"-p full", []string{"cannot restore to full/p1: the directory is not empty", "hint: "}},
		{"-p r --backup_num 3", []string{"it has no backup number 3", "hint: its backups are numbered 1 to 2"}},
		{"-p r --backup_id abc", []string{`no series has backup id "abc"`, "hint: there are: "}},
		{"-p r --encryption_key_file " + key, []string{"a key was given, but the backup is not encrypted"}},
	} {
		args := append([]string{"restore", "-l", m.destination, "--force_zero=false"}, strings.Fields(c.args)...)
		r := call{dir: dir}.run(t, args...)
		r.expect(t, exitError, c.texts...)
		if r.stdout != "" {
			t.Errorf("restore %s claims %q", c.args, r.stdout)
		}
	}
	expectEntries(t, dir, "full", "key")
	expectEntries(t, filepath.Join(dir, "full/p1"), "mine")
}

func TestEncrypted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key := write(t, filepath.Join(dir, "key"), strings.Repeat("k", 32))
	other := write(t, filepath.Join(dir, "other"), strings.Repeat("K", 32))
	m := makeSeries(t, "--encryption_key_file", key)
	for _, command := range []string{"restore -p " + dir + "/r --force_zero=false", "verify --level full"} {
		args := append(strings.Fields(command), "-l", m.destination)
		brock(t, args...).expect(t, exitError, "it is encrypted: key ", "no key was given", "hint: give the key with --encryption_key_file")
		brock(t, append(args, "--encryption_key_file", other)...).expect(t, exitError, "it is encrypted: key ", " is needed, the ring has ")
		good(t, append(args, "--encryption_key_file", key)...)
	}
	if got := startAlpha(t, filepath.Join(dir, "r/p1")).dump(t, "c"); got != m.dumps[1] {
		t.Error("what was restored is not what was acknowledged")
	}
	if list := good(t, "lsbackup", "-l", m.destination).stdout; strings.Count(list, `"encrypted": true`) != 2 || strings.Count(list, `"key_id": "`) != 2 {
		t.Errorf("the list does not say that it is encrypted:\n%s", list)
	}
}

func TestListBackups(t *testing.T) {
	t.Parallel()
	m := makeSeries(t)
	var listed []manifest.Manifest
	r := good(t, "lsbackup", "-l", m.destination)
	if err := json.Unmarshal([]byte(r.stdout), &listed); err != nil || r.stderr != "" {
		t.Fatalf("%v, stderr %q", err, r.stderr)
	}
	if len(listed) != 2 || listed[0].Type != manifest.Full || listed[1].Type != manifest.Incremental ||
		listed[1].Since != listed[0].ReadTs || listed[1].BackupID != listed[0].BackupID || listed[1].StoredBytes == 0 ||
		listed[1].FinishedAt.IsZero() || filepath.Join(m.destination, listed[0].Path) != m.folders(t)[0] {
		t.Errorf("listed: %s", r.stdout)
	}
	for _, field := range []string{"type", "since", "read_ts", "groups", "backup_id", "backup_num", "path", "encrypted"} {
		if strings.Count(r.stdout, `"`+field+`": `) != 2 {
			t.Errorf("not every backup has Dgraph's field %s", field)
		}
	}
	golden(t, "lsbackup-table.txt", stable(good(t, "lsbackup", "-l", m.destination, "--output", "table").stdout))

	empty := good(t, "lsbackup", "-l", t.TempDir())
	empty.expect(t, exitGood, "there is no backup at /")
	if empty.stdout != "[]\n" {
		t.Errorf("an empty list is %q", empty.stdout)
	}
}

// stable replaces what differs from run to run, and blanks that depend on it.
func stable(text string) string {
	for _, r := range []struct{ pattern, with string }{
		{`brock\.\d{8}\.\d{6}\.\d{3}`, "FOLDER"},
		{`\b[0-9a-f]{12}\b`, "SERIES"},
		{`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`, "TIME"},
		{`\b[\d.]+(ms|s)\b`, "TOOK"},
		{`[\d.]+ [KM]?i?B\b`, "SIZE"},
		{` {2,}`, "  "},
		{`TOOK  \d+`, "TOOK  VERSION"},
	} {
		text = regexp.MustCompile(r.pattern).ReplaceAllString(text, r.with)
	}
	return text
}

func TestVerify(t *testing.T) {
	t.Parallel()
	m := makeSeries(t)
	for _, level := range []string{"quick", "full", "restore"} {
		scratch := t.TempDir()
		args := []string{"verify", "-l", m.destination, "--level", level, "--scratch", scratch}
		golden(t, "verify.txt", stable(good(t, args...).stdout))
		var report restore.Report
		if err := json.Unmarshal([]byte(good(t, append(args, "--output", "json")...).stdout), &report); err != nil {
			t.Fatal(err)
		}
		if !report.Good || string(report.Level) != level || len(report.Series) != 1 || report.Series[0].Backups != 2 {
			t.Errorf("report is %+v", report)
		}
		expectEntries(t, scratch)
	}
}

func TestDamage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, folder string)
		// The exit codes; the incremental is what is damaged.
		list, quick, full, restore int
	}{
		{"a byte of a part", func(t *testing.T, folder string) { flip(t, part(t, folder)) }, exitGood, exitGood, exitDamaged, exitDamaged},
		{"a part is short", func(t *testing.T, folder string) { cut(t, part(t, folder)) }, exitGood, exitDamaged, exitDamaged, exitDamaged},
		{"a part is missing", func(t *testing.T, folder string) { remove(t, part(t, folder)) }, exitGood, exitDamaged, exitDamaged, exitDamaged},
		{"the manifest is cut", func(t *testing.T, folder string) { cut(t, filepath.Join(folder, manifest.FileName)) },
			exitDamaged, exitDamaged, exitDamaged, exitDamaged},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := makeSeries(t)
			c.damage(t, m.folders(t)[1])
			dir := t.TempDir()
			list := brock(t, "lsbackup", "-l", m.destination)
			list.expect(t, c.list)
			if c.list != exitGood {
				list.expect(t, c.list, "error: cannot read manifest", "1 of 2 manifests cannot be used")
			}
			var listed []manifest.Manifest
			if err := json.Unmarshal([]byte(list.stdout), &listed); err != nil || len(listed) == 0 {
				t.Errorf("the good backups are not listed: %v, %s", err, list.stdout)
			}
			brock(t, "verify", "-l", m.destination).expect(t, c.quick)
			bad := brock(t, "verify", "-l", m.destination, "--level", "full", "--output", "json")
			bad.expect(t, c.full, "error: cannot verify "+m.destination)
			var report restore.Report
			if err := json.Unmarshal([]byte(bad.stdout), &report); err != nil || report.Good {
				t.Errorf("the report is %s, %v", bad.stdout, err)
			}
			text := brock(t, "verify", "-l", m.destination, "--level", "full").stdout
			if !strings.Contains(text, "NOT GOOD") || !strings.Contains(text, "\n  cannot ") {
				t.Errorf("the report is %s", text)
			}
			brock(t, "restore", "-p", dir, "-l", m.destination, "--force_zero=false").expect(t, c.restore)
			expectEntries(t, dir)
			// What is before the damage stays of use.
			good(t, "restore", "-p", dir, "-l", m.destination, "--force_zero=false", "--backup_num", "1", "--backup_id", listed[0].BackupID)
			if got := startAlpha(t, filepath.Join(dir, "p1")).dump(t, "c"); got != m.dumps[0] {
				t.Error("the backup before the damage does not restore")
			}
		})
	}
}

func part(t *testing.T, folder string) string {
	t.Helper()
	parts, err := filepath.Glob(filepath.Join(folder, "*.backup"))
	if err != nil || len(parts) == 0 {
		t.Fatalf("parts %q, %v", parts, err)
	}
	return parts[0]
}

func flip(t *testing.T, path string) {
	t.Helper()
	content := []byte(read(t, path))
	content[len(content)/2] ^= 1
	rewrite(t, path, content)
}

func cut(t *testing.T, path string) {
	t.Helper()
	content := read(t, path)
	rewrite(t, path, []byte(content[:len(content)-10]))
}

func rewrite(t *testing.T, path string, content []byte) {
	t.Helper()
	remove(t, path) // it may be read-only
	write(t, path, string(content))
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}
