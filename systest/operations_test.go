package systest

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// runbook is what the steps of docs/operations.md come to, in their order.
var runbook = []struct {
	has   string // a text of the step
	wants string // a regular expression of what it prints
	fails bool   // it ends with an error
	ends  bool   // what runs in the background is ended after it
}{
	{has: "backupStatus", wants: `"chainLength":2,.*"nextIsFull":false,.*"warnings":\[\],"pin":\{"held":true`},
	{has: "tasks {", wants: `"status":"Success".*"schedules":\[\]`},
	{has: "--output table", wants: `(?s)full.*incremental`},
	{has: "--level full", wants: `good, 2 backups`},
	{has: "--dry_run", wants: `backups 1 to 2`},
	{has: "| wc -l", wants: `(?s)Restore version: \d+\nRestore max uid: \d+\n.*\b120\b`},
	{has: "127.0.0.1:8081", wants: `brock alpha listens`, ends: true},
	{has: "brock load", wants: `100 records loaded into default/cities_before`},
	{has: "brock backup -d /tmp/ops/backups --wait", wants: `backup 3 of series `},
	{has: "brock prune", wants: `0 backups, .* would go`},
	{has: "--dry_run=false", wants: `(?s)0 backups, .* removed.*backup 4 of series `},
	{has: "/tmp/ops/encrypted --output table", wants: `full`},
	{has: "right.key", wants: `(?s)it is encrypted: key .*good, 1 backups`},
	{has: "new.key", wants: `backup 1 of series `},
	{has: "/tmp/ops/gone", wants: `there is no backup at `},
	{has: "createSchedule", wants: `(?s)backup 1 of series .*Schedule nightly created","code":"Success"`},
	{has: "--dir", wants: `backup 1 of series `},
}

var shellBlock = regexp.MustCompile("(?sm)^ *```sh\n(.*?)^ *```$")

// TestOperations does what docs/operations.md tells to do.
func TestOperations(t *testing.T) {
	t.Parallel()
	ops := t.TempDir()
	a := startAlpha(t, filepath.Join(ops, "data"))
	backups := filepath.Join(ops, "backups")
	lines := func(n int) string {
		var all strings.Builder
		for i := range n {
			all.WriteString(`{"key":"k` + strings.Repeat("0", i%3) + string(rune('a'+i%26)) + strings.Repeat("x", i/26) + `","value":"v"}` + "\n")
		}
		return all.String()
	}
	for i, n := range []int{100, 120} {
		file := writeFile(t, filepath.Join(t.TempDir(), "lines"), []byte(lines(n)))
		good(t, "load", "--alpha", a.url, "-c", "cities", "-f", file)
		if done := a.backup(t, backups, false); int(done.BackupNum) != i+1 {
			t.Fatalf("%+v", done)
		}
	}
	for name, b := range map[string]string{"right.key": "r", "other.key": "o"} {
		writeFile(t, filepath.Join(ops, name), []byte(strings.Repeat(b, 32)))
	}
	keyed := startAlpha(t, t.TempDir(), "--encryption_key_file", filepath.Join(ops, "right.key"))
	keyed.store(t, model{}, bankRef, putRecord{"k", []byte(`1`)})
	keyed.backup(t, filepath.Join(ops, "encrypted"), false)
	keyed.stop(t)

	blocks := shellBlock.FindAllStringSubmatch(string(readFile(t, "../docs/operations.md")), -1)
	if len(blocks) != len(runbook) {
		t.Fatalf("the page has %d blocks of commands, and %d steps are known", len(blocks), len(runbook))
	}
	paths := strings.NewReplacer("/tmp/ops", ops, "http://127.0.0.1:8080", a.url, "127.0.0.1:8081", "127.0.0.1:0")
	for i, block := range blocks {
		s := runbook[i]
		if !strings.Contains(block[1], s.has) {
			t.Fatalf("step %d is not that of %q:\n%s", i+1, s.has, block[1])
		}
		script := paths.Replace(block[1])
		if s.ends {
			script += "\nalpha=$!\nuntil curl -sf -o /dev/null --max-time 1 " + a.url + "/health && grep -q listens \"$OUT\"; do sleep 0.05; done\nkill $alpha\nwait $alpha\n"
		}
		out, err := shell(t, a, script)
		if (err != nil) != s.fails || !regexp.MustCompile(s.wants).MatchString(out) {
			t.Fatalf("step %d: %v; it does not print %s:\n%s\nbut:\n%s", i+1, err, s.wants, script, out)
		}
	}
	a.stop(t)
}

// shell runs commands in which brock is the program under test, and returns what
// they print on stdout and stderr.
func shell(t *testing.T, a *alpha, script string) (string, error) {
	t.Helper()
	bin := t.TempDir()
	if err := os.Symlink(program, filepath.Join(bin, "brock")); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(bin, "out")
	f, err := os.Create(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command("bash", "-c", "set -eo pipefail\n"+script)
	cmd.Env = environment("PATH="+bin+":"+os.Getenv("PATH"), "OUT="+out, "BROCK_ALPHA="+a.url)
	cmd.Stdout, cmd.Stderr = f, f
	err = cmd.Run()
	return string(readFile(t, out)), err
}
