package worker

import (
	"flag"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/brockdb/brock/worker/task"
)

// setFlag sets a flag of glog until the test ends.
func setFlag(t *testing.T, name, value string) {
	t.Helper()
	f := flag.Lookup(name)
	old := f.Value.String()
	if err := f.Value.Set(value); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Value.Set(old); err != nil {
			t.Error(err)
		}
	})
}

// stderrOf returns what do writes to stderr.
func stderrOf(t *testing.T, do func()) string {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	text := make(chan string)
	go func() {
		all, err := io.ReadAll(read)
		if err != nil {
			t.Error(err)
		}
		text <- string(all)
	}()
	old := os.Stderr
	os.Stderr = write
	defer func() { os.Stderr = old }()
	do()
	if err := write.Close(); err != nil {
		t.Error(err)
	}
	return <-text
}

// TestStorageLog counts on the log, at verbosity 2, to name every call of the
// storage of a backup, and to be silent about it below.
func TestStorageLog(t *testing.T) {
	setFlag(t, "logtostderr", "true")
	for verbosity, logged := range map[string]bool{"0": false, "2": true} {
		setFlag(t, "v", verbosity)
		to := t.TempDir()
		text := stderrOf(t, func() {
			n := openNode(t, Options{Dir: t.TempDir()})
			put(t, n, "k", `"v"`)
			if done := run(t, n, BackupRequest{Destination: to}); done.Status != task.Success {
				t.Errorf("%+v", done)
			}
		})
		for _, want := range []string{"storage: create " + to + "/brock.", "storage: commit " + to + "/", "storage: list " + to, "/manifest.json: "} {
			if strings.Contains(text, want) != logged {
				t.Errorf("verbosity %s: %q is in the log: %t\n%s", verbosity, want, !logged, text)
			}
		}
	}
}
