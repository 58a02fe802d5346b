package main

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestConfig(t *testing.T) {
	for _, c := range []struct {
		name, file string
		env        []string
		args       string
		code       int
		texts      []string
	}{
		{"sets a required flag", "verify:\n  location: /nowhere\n", nil, "verify", exitError, []string{"at /nowhere: there is no backup"}},
		{"for all commands", "all:\n  location: /nowhere\n", nil, "verify", exitError, []string{"at /nowhere"}},
		{"its own section beats the one for all", "all:\n  location: /all\nverify:\n  location: /own\n", nil, "verify", exitError, []string{"at /own"}},
		{"loses to the flag", "all:\n  location: /file\n", nil, "verify -l /flag", exitError, []string{"at /flag"}},
		{"loses to the environment", "all:\n  location: /file\n", []string{"BROCK_LOCATION=/env"}, "verify", exitError, []string{"at /env"}},
		{"numbers and switches", "restore:\n  force_zero: false\n  backup_num: 3\n  postings: r\n  location: /b\n", nil, "restore", exitError,
			[]string{"there is no backup"}},
		{"empty", "", nil, "verify -l /b", exitError, []string{"there is no backup"}},
		{"empty section", "verify:\n", nil, "verify -l /b", exitError, []string{"there is no backup"}},
		{"unknown flag", "verify:\n  location: /b\n  depth: 3\n", nil, "verify", exitUsage,
			[]string{`config.yaml line 3: section verify has no flag "depth"`}},
		{"unknown flag of another command", "lsbackup:\n  depth: 3\n", nil, "verify -l /b", exitUsage, []string{`section lsbackup has no flag "depth"`}},
		{"unknown flag for all", "all:\n  depth: 3\n", nil, "verify -l /b", exitUsage, []string{`section all has no flag "depth"`}},
		{"unknown command", "verfy:\n  level: full\n", nil, "verify -l /b", exitUsage, []string{`line 1: there is no command "verfy"`, "hint: a section is a command"}},
		{"flag outside a section", "location: /b\n", nil, "verify -l /b", exitUsage, []string{`there is no command "location"`}},
		{"section that is none", "verify: /b\n", nil, "verify -l /b", exitUsage, []string{"here must stand names with their values"}},
		{"config in itself", "all:\n  config: x\n", nil, "verify -l /b", exitUsage, []string{`no flag "config"`}},
		{"bad value", "verify:\n  level: deep\n", nil, "verify -l /b", exitUsage, []string{"level of configuration", "it must be one of quick, full, restore"}},
		{"list for one value", "verify:\n  level: [quick, full]\n", nil, "verify -l /b", exitUsage, []string{"it takes one value"}},
		{"no value", "verify:\n  level:\n", nil, "verify -l /b", exitUsage, []string{"the value is neither"}},
		{"twice", "verify:\n  level: full\n  level: quick\n", nil, "verify -l /b", exitUsage, []string{"level"}},
		{"no YAML", "verify: [", nil, "verify -l /b", exitUsage, []string{"it is not YAML"}},
		{"list", "alpha:\n  whitelist: [10.0.0.0/8, \"a b\"]\n", nil, "alpha -p p --http 127.0.0.1:0", exitUsage, []string{`cannot use whitelist: "a b"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			file := write(t, filepath.Join(dir, "config.yaml"), c.file)
			r := call{dir: dir, env: append(c.env, "BROCK_CONFIG="+file)}.run(t, strings.Fields(c.args)...)
			r.expect(t, c.code, c.texts...)
			if again := (call{dir: dir, env: c.env}).run(t, append(strings.Fields(c.args), "--config", file)...); again != r {
				t.Errorf("--config differs from BROCK_CONFIG: %+v, %+v", again, r)
			}
		})
	}
	brock(t, "verify", "-l", "/b", "--config", "/no/such/file").expect(t, exitError, "cannot read configuration", "no such file")
}
