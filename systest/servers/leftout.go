package servers

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"testing"
)

// leftOutVariable names the file that tells `make test` what was left out.
const leftOutVariable = "BROCK_LEFT_OUT"

// LeaveOut ends a test on a platform that cannot run what it needs, and says so
// where `make test` shows it at its end. In CI (CI=true) it is a failure.
func LeaveOut(t testing.TB, format string, args ...any) {
	t.Helper()
	reason := t.Name() + ": " + fmt.Sprintf(format, args...)
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s; in CI nothing is left out", reason)
	}
	if path := os.Getenv(leftOutVariable); path != "" {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
		if err != nil {
			t.Fatal(err)
		}
		_, err = fmt.Fprintln(f, reason)
		if cerr := f.Close(); err != nil || cerr != nil {
			t.Fatal(err, cerr)
		}
	}
	t.Skip("LEFT OUT: ", reason)
}

// canInstall reports why Debian packages cannot be installed here, or "".
func canInstall() string {
	if runtime.GOOS != "linux" {
		return "it needs Linux"
	}
	for _, program := range []string{"apt-get", "dpkg-query"} {
		if _, err := exec.LookPath(program); err != nil {
			return "there is no " + program
		}
	}
	if os.Geteuid() != 0 {
		return "only root may install packages"
	}
	return ""
}
