package servers

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const playwright = "playwright-core@1.56.1"

// Browser is a Chromium and what drives it. Chromium itself comes from the
// system: its packages are made for it, with all the libraries it needs.
type Browser struct {
	Chromium string // the program
	Modules  string // the folder node_modules with playwright-core
}

// FindBrowser returns a browser for a test. What is missing is installed where
// the system lets us: Chromium with apt-get, as root. Where it does not, the
// test is left out, which CI does not accept and "make test" says at its end.
func FindBrowser(t testing.TB) Browser {
	t.Helper()
	chromium, err := chromiumPath()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("LEFT OUT: %v", err)
	}
	modules, err := playwrightPath()
	if err != nil {
		t.Fatal(err)
	}
	return Browser{chromium, modules}
}

func playwrightPath() (string, error) {
	name, version, _ := strings.Cut(playwright, "@")
	dir, err := installed(name+"-"+version, func(scratch string) (string, error) {
		prefix := filepath.Join(scratch, name)
		if err := os.Mkdir(prefix, 0o777); err != nil {
			return "", err
		}
		return prefix, run(prefix, nil, "npm", "install", "--no-audit", "--no-fund", "--prefix", prefix, playwright)
	})
	return filepath.Join(dir, "node_modules"), err
}

// chromiumPath looks for Chromium under the names that it has on systems, and
// installs it where it is missing.
func chromiumPath() (string, error) {
	if path := lookChromium(); path != "" {
		return path, nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil || os.Getuid() != 0 {
		return "", fmt.Errorf("there is no Chromium, and it can be installed only by root with apt-get: install the package chromium")
	}
	_, err := installed("chromium", func(scratch string) (string, error) {
		tell("apt-get install chromium")
		install := "apt-get install -y --no-install-recommends chromium fonts-dejavu-core"
		if run(scratch, []string{"DEBIAN_FRONTEND=noninteractive"}, "sh", "-c", install) != nil { // its lists may be old or missing
			if err := run(scratch, []string{"DEBIAN_FRONTEND=noninteractive"}, "sh", "-c", "apt-get update && "+install); err != nil {
				return "", err
			}
		}
		mark := filepath.Join(scratch, "chromium")
		return mark, os.WriteFile(mark, nil, 0o666)
	})
	if err != nil {
		return "", err
	}
	if path := lookChromium(); path != "" {
		return path, nil
	}
	return "", fmt.Errorf("there is no Chromium, though apt-get has installed it")
}

func lookChromium() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}
