package main

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// release is one run of the command.
type release struct {
	version   string
	source    string
	out       string
	time      time.Time // of all files
	platforms []string  // as GOOS/GOARCH
}

func (r *release) run() error {
	if r.version == "" {
		return errors.New("cannot build a release: -version is missing")
	}
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "brock-release-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(scratch) }() // it is in the temporary folder
	var made []string
	for _, platform := range r.platforms {
		files, err := r.platform(platform, filepath.Join(scratch, "brock"))
		if err != nil {
			return fmt.Errorf("cannot build for %s: %w", platform, err)
		}
		made = append(made, files...)
	}
	return r.digests(made)
}

// platform builds for one platform, and returns the names of what it made.
func (r *release) platform(platform, program string) ([]string, error) {
	system, machine, ok := strings.Cut(platform, "/")
	if !ok {
		return nil, errors.New("it is not of the form GOOS/GOARCH")
	}
	if err := r.build(system, machine, program); err != nil {
		return nil, err
	}
	name := fmt.Sprintf("brock_%s_%s_%s", r.version, system, machine)
	if err := r.archive(filepath.Join(r.out, name+".tar.gz"), name, program); err != nil {
		return nil, err
	}
	bill, err := r.bill(program)
	if err != nil {
		return nil, err
	}
	return []string{name + ".tar.gz", name + ".cdx.json"}, os.WriteFile(filepath.Join(r.out, name+".cdx.json"), bill, 0o644)
}

// build makes the static program. Neither paths nor the id of the build are in it.
func (r *release) build(system, machine, program string) error {
	program, err := filepath.Abs(program)
	if err != nil {
		return err
	}
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -buildid= -X main.version="+r.version, "-o", program, "./cmd/brock")
	cmd.Dir = r.source
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+system, "GOARCH="+machine, "GOFLAGS=")
	cmd.Stderr = os.Stderr
	return cmd.Run()
}

// archive packs the program with what comes with it.
func (r *release) archive(path, folder, program string) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	packed := gzip.NewWriter(f) // its header has no time
	archive := tar.NewWriter(packed)
	for _, file := range []struct {
		name, from string
		mode       int64
	}{
		{"brock", program, 0o755},
		{"LICENSE", filepath.Join(r.source, "LICENSE"), 0o644},
		{"README.md", filepath.Join(r.source, "README.md"), 0o644},
	} {
		content, err := os.ReadFile(file.from)
		if err != nil {
			return err
		}
		err = archive.WriteHeader(&tar.Header{Name: folder + "/" + file.name, Mode: file.mode, Size: int64(len(content)),
			ModTime: r.time, Typeflag: tar.TypeReg, Format: tar.FormatUSTAR})
		if err != nil {
			return err
		}
		if _, err := archive.Write(content); err != nil {
			return err
		}
	}
	return errors.Join(archive.Close(), packed.Close())
}

// digests writes SHA256SUMS as sha256sum -c reads it.
func (r *release) digests(names []string) error {
	slices.Sort(names)
	var text strings.Builder
	for _, name := range names {
		sum, err := digest(filepath.Join(r.out, name))
		if err != nil {
			return err
		}
		fmt.Fprintf(&text, "%s  %s\n", sum, name)
	}
	return os.WriteFile(filepath.Join(r.out, "SHA256SUMS"), []byte(text.String()), 0o644)
}

func digest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close() // only read
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", hash.Sum(nil)), nil
}
