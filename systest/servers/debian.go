package servers

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Debian installs packages of the Debian system that the test runs on, those
// that are missing. Where that cannot be done the test is left out, see
// LeaveOut.
func Debian(t testing.TB, packages ...string) {
	t.Helper()
	if len(missing(packages)) > 0 {
		if why := canInstall(); why != "" {
			LeaveOut(t, "%s to install %s", why, strings.Join(missing(packages), ", "))
		}
	}
	if err := installDebian(packages); err != nil {
		t.Fatal(err)
	}
}

func installDebian(packages []string) error {
	if len(missing(packages)) == 0 {
		return nil
	}
	dir, err := Dir()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	unlock, err := lock(filepath.Join(dir, "apt.lock"))
	if err != nil {
		return err
	}
	defer unlock()
	absent := missing(packages)
	if len(absent) == 0 {
		return nil
	}
	tell("installing the Debian packages %s", strings.Join(absent, ", "))
	if err := run("/", aptEnvironment, "apt-get", "update", "-q"); err != nil {
		return err
	}
	args := append([]string{"install", "-y", "-q", "--no-install-recommends"}, absent...)
	if err := run("/", aptEnvironment, "apt-get", args...); err != nil {
		return fmt.Errorf("cannot install %s: %w", strings.Join(absent, ", "), err)
	}
	return nil
}

var aptEnvironment = []string{"DEBIAN_FRONTEND=noninteractive"}

// missing returns those packages that are not installed.
func missing(packages []string) (absent []string) {
	for _, name := range packages {
		out, err := exec.Command("dpkg-query", "-W", "-f", "${Status}", name).Output()
		if err != nil || !strings.HasSuffix(string(out), "ok installed") {
			absent = append(absent, name)
		}
	}
	return absent
}
