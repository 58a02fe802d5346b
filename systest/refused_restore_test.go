package systest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/brockdb/brock/backup/manifest"
)

// damageable is a series of three backups.
type damageable struct {
	dir    string
	id     string
	paths  []string // folders of the backups, by number
	key    string   // file; "" when not encrypted
	models []model
}

func newDamageable(t *testing.T, keyBytes int) *damageable {
	d := &damageable{dir: t.TempDir()}
	var flags []string
	if keyBytes > 0 {
		d.key = keyFile(t, keyBytes)
		flags = []string{"--encryption_key_file", d.key}
	}
	a := startAlpha(t, t.TempDir(), flags...)
	m := model{}
	for i := range 3 {
		a.store(t, m, ref{"default", "c"}, putRecord{fmt.Sprint(i), json.RawMessage(`"` + strings.Repeat("x", 100) + `"`)})
		made := a.backup(t, d.dir, false)
		d.id, d.paths = made.BackupID, append(d.paths, made.Path)
		d.models = append(d.models, m.clone())
	}
	a.stop(t)
	return d
}

// in returns the path of an object of a backup in a copy of the series: its
// manifest, its part or its part list.
func (d *damageable) in(t *testing.T, copied string, num int, suffix string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(copied, d.paths[num-1], "*"+suffix))
	if err != nil || len(found) != 1 {
		t.Fatalf("backup %d has the objects %v like %s (%v)", num, found, suffix, err)
	}
	return found[0]
}

// TestRefusedRestores damages a series in all ways an operator may meet, and
// asks for what is not there. Each time restore says what is wrong and what can
// be done, with the right exit code, and leaves nothing behind; verify finds
// the same damage.
func TestRefusedRestores(t *testing.T) {
	t.Parallel()
	plain, secret := newDamageable(t, 0), newDamageable(t, 32)
	for _, c := range []refusal{
		{name: "unknown backup id", of: plain, args: []string{"--backup_id", "0123456789ab"}, code: exitError,
			texts: []string{`no series has backup id "0123456789ab"`, "hint: there are: " + plain.id}},
		{name: "number too high", of: plain, args: []string{"--backup_num", "4"}, code: exitError,
			texts: []string{"it has no backup number 4", "hint: its backups are numbered 1 to 3"}},
		{name: "missing number", of: plain, damage: func(t *testing.T, dir string) { removeAll(t, dir, plain.paths[1]) },
			code: exitDamaged, texts: []string{"backup number 2 is missing", "hint: bring its folder back, or restore up to number 1 with --backup_num"}, works: 1},
		{name: "missing full", of: plain, damage: func(t *testing.T, dir string) { removeAll(t, dir, plain.paths[0]) },
			code: exitDamaged, texts: []string{"backup number 1 is missing", "hint: without its full backup"}},
		{name: "wrong parent digest", of: plain, code: exitDamaged,
			damage: func(t *testing.T, dir string) {
				reseal(t, plain.in(t, dir, 2, ".json"), `"max_uid": 0`, `"max_uid": 1`)
			},
			texts: []string{"its parent digest is", "hint: restore up to number 2 with --backup_num"}},
		{name: "forked chain", of: plain, code: exitDamaged, damage: plain.fork,
			texts: []string{"backup number 2 exists twice", "the chain is forked", "hint: two writers extended it; restore up to number 1 with --backup_num"}, works: 1},
		{name: "missing part", of: plain, damage: plain.onObject(1, ".backup", func([]byte) []byte { return nil }),
			code: exitDamaged, texts: []string{"cannot use part ", "it is missing", "hint: bring the object back"}},
		{name: "short part", of: secret, damage: secret.onObject(2, ".backup", func(b []byte) []byte { return b[:len(b)-1] }),
			code: exitDamaged, texts: []string{"its part list says", "hint: bring the object back from a copy, or restore an earlier backup"}, works: 1},
		{name: "altered part", of: plain, damage: plain.onObject(1, ".backup", flip(0.5)),
			code: exitDamaged, texts: []string{"was altered: its SHA-256 is wrong"}},
		{name: "altered encrypted part", of: secret, damage: secret.onObject(3, ".backup", flip(0.9)),
			code: exitDamaged, texts: []string{"was altered: its SHA-256 is wrong"}},
		{name: "missing part list", of: secret, damage: secret.onObject(2, ".parts", func([]byte) []byte { return nil }),
			code: exitDamaged, texts: []string{"cannot read part list ", "it is missing", "hint: bring the object back"}},
		{name: "short part list", of: plain, damage: plain.onObject(2, ".parts", func(b []byte) []byte { return b[:len(b)/2] }),
			code: exitDamaged, texts: []string{"bytes, the manifest says", "hint: bring the object back"}},
		{name: "altered part list", of: secret, damage: secret.onObject(1, ".parts", flip(0.5)),
			code: exitDamaged, texts: []string{"it was altered: its SHA-256 is not the manifest's", "hint: "}},
		{name: "wrong MAC", of: secret, code: exitDamaged,
			damage: secret.onObject(3, ".json", func(b []byte) []byte { return bytes.Replace(b, []byte(`"max_uid": 0`), []byte(`"max_uid": 1`), 1) }),
			texts:  []string{"the key is right and the manifest's MAC is not", "hint: "}, works: 2},
		{name: "cut manifest", of: plain, damage: plain.onObject(3, ".json", func(b []byte) []byte { return b[:len(b)/2] }),
			code: exitDamaged, texts: []string{"cannot read manifest", "hint: ", "--backup_id and --backup_num"}, works: 2},
		{name: "wrong key", of: secret, key: keyFile(t, 24), code: exitError,
			texts: []string{"it is encrypted: key ", " is needed, the ring has ", "hint: give the key that it was made with as well"}},
		{name: "key missing", of: secret, key: "none", code: exitError,
			texts: []string{"it is encrypted: key ", "no key was given", "hint: give the key with --encryption_key_file"}},
		{name: "key for a plain backup", of: plain, key: secret.key, code: exitError,
			texts: []string{"a key was given, but the backup is not encrypted", "--allow_plain"}},
		{name: "key with a newline", of: secret, key: writeFile(t, filepath.Join(t.TempDir(), "key"), []byte("0123456789abcdef\n")),
			code: exitUsage, texts: []string{"it ends in a newline after 16 bytes", "hint: write the key without a newline"}},
		{name: "key of 20 bytes", of: secret, key: keyFile(t, 20), code: exitUsage,
			texts: []string{"it has 20 bytes; AES needs 16, 24 or 32"}},
		{name: "key file missing", of: secret, key: "/nowhere/key", code: exitError, texts: []string{"cannot read encryption key file"}},
		{name: "nothing there", of: plain, damage: func(t *testing.T, dir string) { removeAll(t, dir, plain.paths...) },
			code: exitError, texts: []string{"there is no backup", "hint: check the location"}},
	} {
		t.Run(c.name, c.run)
	}
}

// refusal is a restore that must be refused.
type refusal struct {
	name   string
	of     *damageable
	damage func(t *testing.T, dir string)
	key    string // instead of the right one; "none" for none
	args   []string
	code   int
	texts  []string
	works  int // the number up to which the hint says that it can be restored
}

func (c refusal) run(t *testing.T) {
	dir := copyDir(t, c.of.dir)
	if c.damage != nil {
		c.damage(t, dir)
	}
	key := c.key
	if key == "" {
		key = c.of.key
	}
	var flags []string
	if key != "" && key != "none" {
		flags = []string{"--encryption_key_file", key}
	}
	before := tree(t, dir)
	target := filepath.Join(t.TempDir(), "target")
	args := append([]string{"restore", "-p", target, "-l", dir, "--force_zero=false"}, flags...)
	r := brock(t, append(args, c.args...)...).expect(t, c.code, c.texts...)
	if r.stdout != "" || !strings.Contains(r.stderr, "error: cannot ") {
		t.Errorf("stdout: %s\nstderr: %s", r.stdout, r.stderr)
	}
	for _, name := range []string{"p1", "p1.tmp"} {
		if exists(t, filepath.Join(target, name)) {
			t.Errorf("%s was made", name)
		}
	}
	if c.args == nil {
		brock(t, append([]string{"verify", "-l", dir, "--level", "full"}, flags...)...).expect(t, c.code)
	}
	if c.works > 0 {
		a := startAlpha(t, restoreBackup(t, dir, c.of.id, c.works, flags...).dir)
		a.check(t, c.of.models[c.works-1], "following the hint")
		a.stop(t)
	}
	if after := tree(t, dir); !slices.Equal(before, after) {
		t.Errorf("at the source there was %q and is %q", before, after)
	}
}

// tree lists all below dir. A reader stores a mark there and removes it, which
// changes the times of folders, and may leave the marks' own.
func tree(t *testing.T, dir string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		switch {
		case err != nil || entry.IsDir() && entry.Name() == "brock.marks":
		case entry.IsDir():
			all = append(all, fmt.Sprint(path, " ", info.Mode()))
		default:
			all = append(all, fmt.Sprint(path, " ", info.Mode(), " ", info.ModTime()))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func removeAll(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// onObject returns a damage that changes an object, or removes it when change
// returns nil.
func (d *damageable) onObject(num int, suffix string, change func([]byte) []byte) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		path := d.in(t, dir, num, suffix)
		if changed := change(readFile(t, path)); changed != nil {
			writeFile(t, path, changed)
		} else {
			removeAll(t, filepath.Dir(path), filepath.Base(path))
		}
	}
}

// flip returns a change of one bit, so far into an object.
func flip(at float64) func([]byte) []byte {
	return func(b []byte) []byte {
		b[int(at*float64(len(b)))] ^= 1
		return b
	}
}

// reseal changes a plain manifest as somebody does who knows docs/format.md.
func reseal(t *testing.T, path, old, replacement string) {
	t.Helper()
	const head, foot = ",\n  \"sha256\": \"", "\"\n}\n"
	data := readFile(t, path)
	body := bytes.Replace(data[:len(data)-len(head)-2*sha256.Size-len(foot)], []byte(old), []byte(replacement), 1)
	sum := sha256.Sum256(body)
	writeFile(t, path, fmt.Appendf(body, "%s%s%s", head, hex.EncodeToString(sum[:]), foot))
	if _, err := manifest.Decode(readFile(t, path), filepath.Base(filepath.Dir(path))); err != nil || bytes.Equal(readFile(t, path), data) {
		t.Fatalf("%s was to become another good manifest: %v", path, err)
	}
}

// fork adds a second backup number 2.
func (d *damageable) fork(t *testing.T, dir string) {
	const twin = "brock.20991231.235959.999"
	if err := os.Rename(copyDir(t, filepath.Join(dir, d.paths[1])), filepath.Join(dir, twin)); err != nil {
		t.Fatal(err)
	}
	reseal(t, filepath.Join(dir, twin, "manifest.json"), d.paths[1], twin)
}
