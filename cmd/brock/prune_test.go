package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/brockdb/brock/backup/prune"
)

func TestPruneHelp(t *testing.T) {
	golden(t, "help-prune.txt", good(t, "prune", "--help").stdout)
}

// TestPrune prunes what an alpha has made: two series, of which the older one
// goes when it is said so twice.
func TestPrune(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	to := filepath.Join(dir, "backups")
	a := startAlpha(t, filepath.Join(dir, "p"))
	for range 2 {
		a.load(t, "c", records(10, "x"))
		a.backup(t, to)
	}
	if err := a.Admin(t.Context(), `mutation($to: String!) { backup(input: {destination: $to, forceFull: true}) { taskId } }`,
		map[string]any{"to": to}, nil); err != nil {
		t.Fatal(err)
	}
	a.backup(t, to) // behind it
	a.stop(t)
	for _, dry := range []bool{true, false} {
		args := []string{"prune", "-l", to, "--keep_last", "1", "--output", "json"}
		if !dry {
			args = append(args, "--dry_run=false")
		}
		var r prune.Result
		if err := json.Unmarshal([]byte(good(t, args...).stdout), &r); err != nil {
			t.Fatal(err)
		}
		if r.DryRun != dry || len(r.Series) < 2 || r.Series[0].Action != prune.Remove || r.Backups < 2 {
			t.Fatalf("%+v", r)
		}
	}
	r := good(t, "prune", "-l", to, "--keep_last", "1")
	if !strings.Contains(r.stdout, "it is the newest good series of its database") || !strings.Contains(r.stderr, "0 backups") {
		t.Errorf("stdout:\n%s\nstderr:\n%s", r.stdout, r.stderr)
	}
	good(t, "verify", "-l", to, "--level", "full")
}

func TestPruneUsage(t *testing.T) {
	t.Parallel()
	for args, text := range map[string]string{
		"prune":                              `required flag(s) "location" not set`,
		"prune -l /b --keep_last -1":         "keepLast is below 0",
		"prune -l /b --timezone Mars/Olymp":  `"Mars/Olymp" is no time zone`,
		"prune -l /b --older_than yesterday": "is no time such as 30d",
		"prune -l /b --debris_age 0":         "cannot use flag --debris_age",
	} {
		brock(t, strings.Fields(args)...).expect(t, exitUsage, text)
	}
}
