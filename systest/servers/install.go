package servers

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Versions that are known to work together and can be had.
const (
	minioModule  = "github.com/minio/minio@v0.0.0-20250422221226-0d7408fc9969"
	versityGW    = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"
	gcsModule    = "github.com/fsouza/fake-gcs-server@v1.52.3"
	vaultVersion = "v1.21.0"
	azurite      = "azurite@3.37.0"
)

// All installs everything, one after the other.
func All() error {
	for _, install := range []func() (string, error){minioPath, versityPath, gcsPath, azuritePath, vaultPath} {
		if _, err := install(); err != nil {
			return err
		}
	}
	return nil
}

func minioPath() (string, error)   { return goProgram("minio", minioModule) }
func versityPath() (string, error) { return goProgram("versitygw", versityGW) }
func gcsPath() (string, error)     { return goProgram("fake-gcs-server", gcsModule) }

// goProgram builds a program of another module, outside of this one.
func goProgram(program, module string) (string, error) {
	_, version, _ := strings.Cut(module, "@")
	return installed(program+"-"+version, func(scratch string) (string, error) {
		err := run(scratch, []string{"GOBIN=" + scratch}, "go", "install", "-trimpath", "-ldflags=-s -w", module)
		return filepath.Join(scratch, program), err
	})
}

// vaultPath builds Vault. Its module has replace directives, which `go install`
// refuses, so that its source is copied and they are dropped; and without its
// web interface, which the tag minimal leaves out.
func vaultPath() (string, error) {
	return installed("vault-"+vaultVersion, func(scratch string) (string, error) {
		source := filepath.Join(scratch, "source")
		if err := copyModule("github.com/hashicorp/vault@"+vaultVersion, source); err != nil {
			return "", err
		}
		for _, module := range []string{"sdk", "api", "api/auth/approle", "api/auth/kubernetes", "api/auth/userpass"} {
			if err := run(source, nil, "go", "mod", "edit", "-dropreplace=github.com/hashicorp/vault/"+module); err != nil {
				return "", err
			}
		}
		program := filepath.Join(scratch, "vault")
		return program, run(source, []string{"GOFLAGS=-buildvcs=false"},
			"go", "build", "-mod=mod", "-trimpath", "-tags", "minimal", "-ldflags=-s -w", "-o", program)
	})
}

// copyModule copies a module's folder out of the module cache.
func copyModule(module, to string) error {
	cmd := exec.Command("go", "mod", "download", "-json", module)
	cmd.Dir = os.TempDir()
	cmd.Env = append(os.Environ(), "GOWORK=off")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("cannot download %s: %w\n%s", module, err, out)
	}
	var found struct{ Dir string }
	if err := json.Unmarshal(out, &found); err != nil {
		return err
	}
	if err := os.CopyFS(to, os.DirFS(found.Dir)); err != nil {
		return err
	}
	return filepath.WalkDir(to, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chmod(path, 0o755)
	})
}

func azuritePath() (string, error) {
	name, version, _ := strings.Cut(azurite, "@")
	dir, err := installed(name+"-"+version, func(scratch string) (string, error) {
		prefix := filepath.Join(scratch, "azurite")
		if err := os.Mkdir(prefix, 0o777); err != nil {
			return "", err
		}
		return prefix, run(prefix, nil, "npm", "install", "--no-audit", "--no-fund", "--prefix", prefix, azurite)
	})
	return filepath.Join(dir, "node_modules", "azurite", "dist", "src", "blob", "main.js"), err
}

// run runs a command and returns what it printed when it fails.
func run(dir string, env []string, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off"), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}
