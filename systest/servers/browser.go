package servers

import (
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
// the system lets us, see Debian.
func FindBrowser(t testing.TB) Browser {
	t.Helper()
	chromium := lookChromium()
	if chromium == "" {
		Debian(t, "chromium", "fonts-dejavu-core")
		if chromium = lookChromium(); chromium == "" {
			t.Fatal("there is no Chromium, though its package is installed")
		}
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

// lookChromium looks under the names that Chromium has on systems.
func lookChromium() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}
