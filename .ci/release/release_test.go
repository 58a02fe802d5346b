package main

import (
	"archive/tar"
	"compress/gzip"
	"debug/elf"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
)

// newRelease builds for one platform only: the others differ in two variables,
// and building for all takes minutes.
func newRelease(t *testing.T, source string) *release {
	t.Helper()
	r := &release{version: "v1.2.3", source: source, out: t.TempDir(), time: time.Unix(1_765_000_000, 0).UTC(),
		platforms: []string{runtime.GOOS + "/" + runtime.GOARCH}}
	if err := r.run(); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRelease(t *testing.T) {
	first := newRelease(t, copySource(t))
	name := "brock_v1.2.3_" + runtime.GOOS + "_" + runtime.GOARCH
	program := unpack(t, filepath.Join(first.out, name+".tar.gz"), name)
	t.Run("runs", func(t *testing.T) {
		out, err := exec.Command(program, "version").CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), "brock v1.2.3 go") {
			t.Errorf("%s, %v", out, err)
		}
	})
	t.Run("is static", func(t *testing.T) { wantStatic(t, program) })
	t.Run("digests", func(t *testing.T) {
		cmd := exec.Command("sha256sum", "--check", "--strict", "SHA256SUMS")
		cmd.Dir = first.out
		out, err := cmd.CombinedOutput()
		if err != nil || strings.Count(string(out), ": OK\n") != 2 {
			t.Errorf("%s, %v", out, err)
		}
	})
	t.Run("bill of materials", func(t *testing.T) { wantBill(t, filepath.Join(first.out, name+".cdx.json"), program) })
	t.Run("again", func(t *testing.T) {
		second := newRelease(t, copySource(t))
		for _, file := range []string{name + ".tar.gz", name + ".cdx.json", "SHA256SUMS"} {
			a, b := read(t, filepath.Join(first.out, file)), read(t, filepath.Join(second.out, file))
			if string(a) != string(b) {
				t.Errorf("%s differs between two builds, of %d and %d bytes", file, len(a), len(b))
			}
		}
	})
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// unpack returns the path of the program of an archive, and looks at the rest.
func unpack(t *testing.T, path, folder string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	packed, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "brock")
	var names []string
	for archive := tar.NewReader(packed); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, header.Name)
		content, err := io.ReadAll(archive)
		if err != nil || len(content) == 0 || header.ModTime.Unix() != 1_765_000_000 || header.Uid != 0 {
			t.Errorf("%s has %d bytes, %+v, %v", header.Name, len(content), header, err)
		}
		if header.Name == folder+"/brock" {
			if err := os.WriteFile(program, content, header.FileInfo().Mode()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := strings.Join(names, " "); got != folder+"/brock "+folder+"/LICENSE "+folder+"/README.md" {
		t.Errorf("the archive holds %s", got)
	}
	return program
}

// wantStatic looks for what asks for a loader and for libraries of the system.
func wantStatic(t *testing.T, program string) {
	t.Helper()
	if runtime.GOOS != "linux" {
		return // other systems have no static programs
	}
	f, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, part := range f.Progs {
		if part.Type == elf.PT_INTERP || part.Type == elf.PT_DYNAMIC {
			t.Errorf("it has a part of type %v: it is linked dynamically", part.Type)
		}
	}
}

// wantBill compares the bill with what "go version -m" says of the program.
func wantBill(t *testing.T, path, program string) {
	t.Helper()
	var b bom
	decoder := json.NewDecoder(strings.NewReader(string(read(t, path))))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&b); err != nil {
		t.Fatal(err)
	}
	sum, err := digest(program)
	if err != nil {
		t.Fatal(err)
	}
	if b.Format != "CycloneDX" || b.SpecVersion != "1.6" || b.Version != 1 || b.Metadata.Timestamp != "2025-12-06T05:46:40Z" ||
		b.Metadata.Component.PURL != "pkg:golang/github.com/brockdb/brock@v1.2.3" || b.Metadata.Component.Hashes[0].Content != sum {
		t.Errorf("the bill says %+v", b.Metadata)
	}
	listed := map[string]string{}
	for _, c := range b.Components {
		if listed[c.Name] != "" || c.Version == "" || c.PURL != "pkg:golang/"+c.Name+"@"+c.Version {
			t.Errorf("component %+v", c)
		}
		listed[c.Name] = c.Version
	}
	out, err := exec.Command("go", "version", "-m", program).Output()
	if err != nil {
		t.Fatal(err)
	}
	deps := regexp.MustCompile(`(?m)^\tdep\t(\S+)\t(\S+)`).FindAllStringSubmatch(string(out), -1)
	if len(deps) < 10 || len(listed) != len(deps)+1 || len(b.Dependencies[0].DependsOn) != len(listed) {
		t.Errorf("%d components, %d modules", len(listed), len(deps))
	}
	for _, dep := range deps {
		if listed[dep[1]] != dep[2] {
			t.Errorf("module %s is %s in the program and %q in the bill", dep[1], dep[2], listed[dep[1]])
		}
	}
	if listed["std"] != strings.TrimPrefix(runtime.Version(), "go") {
		t.Errorf("std is %q", listed["std"])
	}
}

// copySource copies what the program is built of to a path of another length.
func copySource(t *testing.T) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "another", "place")
	list := exec.Command("git", "-C", "../..", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		content, err := os.ReadFile(filepath.Join("../..", name))
		if os.IsNotExist(err) {
			continue // removed, and not yet committed
		}
		if err != nil {
			t.Fatal(err)
		}
		target := filepath.Join(to, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(target), 0o755), os.WriteFile(target, content, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

func TestRefusals(t *testing.T) {
	if err := (&release{out: t.TempDir()}).run(); err == nil {
		t.Error("a release without a version was built")
	}
	r := &release{version: "v1", source: "../..", out: t.TempDir(), platforms: []string{"linux"}}
	if err := r.run(); err == nil || !strings.Contains(err.Error(), "GOOS/GOARCH") {
		t.Errorf("a platform without an architecture: %v", err)
	}
}
