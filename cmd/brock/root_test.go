package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestHelp(t *testing.T) {
	golden(t, "help.txt", good(t, "--help").stdout)
	for _, cmd := range commands(newRoot()) {
		path := strings.Fields(cmd.CommandPath())[1:]
		help := good(t, append(path, "--help")...).stdout
		golden(t, "help-"+strings.Join(path, "-")+".txt", help)
		if again := good(t, append([]string{"help"}, path...)...).stdout; again != help {
			t.Errorf("brock help %s differs from its --help:\n%s", path, again)
		}
	}
	if bare := good(t).stdout; bare != good(t, "help").stdout {
		t.Errorf("brock without a command does not show its help:\n%s", bare)
	}
}

// commands returns all commands below parent.
func commands(parent *cobra.Command) (all []*cobra.Command) {
	for _, cmd := range parent.Commands() {
		all = append(append(all, cmd), commands(cmd)...)
	}
	return all
}

func TestVersion(t *testing.T) {
	if got := good(t, "version").stdout; !strings.HasPrefix(got, "brock "+testVersion+" go") {
		t.Errorf("version is %q", got)
	}
}

func TestUsageErrors(t *testing.T) {
	for _, c := range []struct {
		args  string
		texts []string
	}{
		{"lod", []string{`error: cannot run brock: there is no command "lod"`, "hint: did you mean brock load?"}},
		{"help lod", []string{`there is no command "lod"`}},
		{"frobnicate", []string{"hint: brock --help lists the commands"}},
		{"load --colection x", []string{"error: cannot run brock load: unknown flag: --colection",
			"hint: did you mean --collection? see brock load --help"}},
		{"load --nothing-like-it", []string{"unknown flag: --nothing-like-it", "hint: see brock load --help"}},
		{"load -x", []string{"unknown shorthand flag: 'x' in -x", "hint: see brock load --help"}},
		{"task", []string{"one is missing: the ID of a task", "hint: see brock task --help"}},
		{"task 0x1 0x2", []string{"cannot use argument 0x2: there is one argument"}},
		{"load", []string{`required flag(s) "collection", "file" not set`}},
		{"load x -c c -f -", []string{"cannot use argument x: everything is a flag here"}},
		{"load -c c -f -  --alpha ftp://h", []string{"its scheme is neither http nor https"}},
		{"load -c c -f -  --alpha http://u:geheim@h", []string{"it holds more than scheme, host, port and path"}},
		{"dump -c", []string{"flag needs an argument: 'c' in -c"}},
		{"alpha", []string{`required flag(s) "postings" not set`}},
		{"alpha -p d --group 0", []string{"cannot use flag --group: it is 0"}},
		{"alpha -p d --request_mb -1", []string{`invalid argument "-1" for "--request_mb"`}},
		{"alpha -p d --whitelist 10.0.0.9-10.0.0.1", []string{"cannot use whitelist", "ends before it begins"}},
		{"alpha -p d --whitelist 10.0.0.0/8,300.1.1.1", []string{`"300.1.1.1" is no address`}},
		{"lsbackup -l backups", []string{`"backups" is not an absolute path`, "hint: "}},
		{"lsbackup -l /b --output yaml", []string{"it must be one of json, table"}},
		{"verify -l /b --level deep", []string{"it must be one of quick, full, restore"}},
		{"verify -l s4://b", []string{"cannot open destination"}},
		{"restore -p r -l /b", []string{
			"No Zero address passed. Use the --force_zero option if you'd like to force the restore", "--force_zero=false"}},
		{"restore -p r -l /b -z localhost:5080", []string{
			"cannot tell the zero at localhost:5080: this version of brock serves no cluster", "--force_zero=false"}},
		{"restore -p r -l /b --force_zero=no", []string{`invalid argument "no"`}},
	} {
		t.Run(c.args, func(t *testing.T) {
			r := brock(t, strings.Fields(c.args)...)
			r.expect(t, exitUsage, c.texts...)
			if r.stdout != "" {
				t.Errorf("an error wrote to stdout: %s", r.stdout)
			}
			if strings.Contains(r.stderr, "geheim") {
				t.Errorf("the error repeats a password: %s", r.stderr)
			}
		})
	}
}

func TestEnvironment(t *testing.T) {
	for _, c := range []struct {
		name  string
		env   []string
		args  string
		code  int
		texts []string
	}{
		{"sets a required flag", []string{"BROCK_LOCATION=/nowhere/at/all"}, "verify", exitError,
			[]string{"cannot find series at /nowhere/at/all: there is no backup"}},
		{"loses to the flag", []string{"BROCK_LOCATION=/nowhere/at/all"}, "verify -l /else/where", exitError,
			[]string{"at /else/where"}},
		{"empty is not there", []string{"BROCK_LOCATION="}, "verify", exitUsage,
			[]string{`required flag(s) "location" not set`}},
		{"bad number", []string{"BROCK_BACKUP_NUM=two"}, "verify -l /b", exitUsage,
			[]string{"error: cannot use environment variable BROCK_BACKUP_NUM: ", `"two"`, "hint: correct or unset it"}},
		{"bad choice", []string{"BROCK_LEVEL=deep"}, "verify -l /b", exitUsage,
			[]string{"BROCK_LEVEL", "it must be one of quick, full, restore"}},
		{"bad but not looked at", []string{"BROCK_LEVEL=deep"}, "verify -l /b --level full", exitError, nil},
		{"of another command", []string{"BROCK_LEVEL=deep"}, "lsbackup -l /b", exitGood, nil},
		{"switch", []string{"BROCK_FORCE_ZERO=false", "BROCK_POSTINGS=r", "BROCK_LOCATION=/b"}, "restore", exitError,
			[]string{"there is no backup"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			call{env: c.env}.run(t, strings.Fields(c.args)...).expect(t, c.code, c.texts...)
		})
	}
	// A token in the environment must not show.
	help := call{env: []string{"BROCK_AUTH_TOKEN=geheim"}}.run(t, "alpha", "--help")
	if strings.Contains(help.stdout+help.stderr, "geheim") {
		t.Error("the help shows a token of the environment")
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if out := good(t, "completion", shell).stdout; !strings.Contains(out, "brock") {
			t.Errorf("completion of %s is %q", shell, out)
		}
	}
	for _, c := range []struct{ line, want string }{
		{"alpha --conf", "--config\t"},
		{"ver", "verify\tProve that the backups at a location are good\nversion\tPrint the version\n:4"},
		{"verify --level ", "quick\nfull\nrestore\n:4"},
		{"verify --level=f", "full\n"},
		{"lsbackup --output ", "json\ntable\n:4"},
		{"restore -p ", ":16"},                 // directories
		{"alpha --encryption_key_file ", ":0"}, // files
		{"load -c ", ":4"},                     // nothing
		{"load ", "--collection\t"},            // required flags
		{"help ver", "verify\tProve that the backups at a location are good\nversion\tPrint the version\n:4"},
	} {
		args := append([]string{"__complete"}, strings.Split(c.line, " ")...)
		if got := good(t, args...).stdout; !strings.Contains(got, c.want) {
			t.Errorf("brock %s<TAB> gives %q, want %q", c.line, got, c.want)
		}
	}
}
