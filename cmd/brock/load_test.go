package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func gzipped(t *testing.T, text string) string {
	t.Helper()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.String()
}

func TestLoadAndDump(t *testing.T) {
	t.Parallel()
	a := startAlpha(t, filepath.Join(t.TempDir(), "p"))
	dir := t.TempDir()
	want := records(5000, "text <&> ünï")
	plain := write(t, filepath.Join(dir, "r.ndjson"), want)
	packed := write(t, filepath.Join(dir, "r.ndjson.gz"), gzipped(t, want))

	for collection, load := range map[string]func() result{
		"plain":  func() result { return good(t, "load", "--alpha", a.url, "-c", "plain", "-f", plain) },
		"packed": func() result { return good(t, "load", "--alpha", a.url, "-c", "packed", "-f", packed) },
		"stdin": func() result {
			return call{stdin: strings.NewReader(want)}.run(t, "load", "--alpha", a.url, "-c", "stdin", "-f", "-")
		},
		"packed stdin": func() result {
			in := strings.NewReader(gzipped(t, want))
			return call{stdin: in}.run(t, "load", "--alpha", a.url, "-c", "packed stdin", "-f", "-")
		},
	} {
		r := load()
		r.expect(t, exitGood)
		if !strings.HasPrefix(r.stdout, "5000 records loaded into default/"+collection+" in ") {
			t.Errorf("load of %s says %q", collection, r.stdout)
		}
		if r.stderr != "" {
			t.Errorf("load of %s writes %q to stderr, which is no terminal", collection, r.stderr)
		}
		if got := good(t, "dump", "--alpha", a.url, "-c", collection).stdout; got != want {
			t.Errorf("the dump of %s is not what was loaded", collection)
		}
	}
	r := good(t, "load", "--alpha", strings.TrimPrefix(a.url, "http://"), "--namespace", "other", "-c", "plain", "-f", write(t, plain, records(1, "x")))
	if !strings.HasPrefix(r.stdout, "1 records loaded into other/plain") {
		t.Errorf("load into a namespace says %q", r.stdout)
	}
	if got := good(t, "dump", "--alpha", a.url, "--namespace", "other", "-c", "plain").stdout; got != records(1, "x") {
		t.Errorf("the dump of the namespace is %q", got)
	}
}

func TestLoadOfNothing(t *testing.T) {
	a := startAlpha(t, filepath.Join(t.TempDir(), "p"))
	r := call{stdin: strings.NewReader("")}.run(t, "load", "--alpha", a.url, "-c", "c", "-f", "-")
	r.expect(t, exitGood)
	if !strings.HasPrefix(r.stdout, "0 records loaded") {
		t.Errorf("load says %q", r.stdout)
	}
}

func TestLoadBadLine(t *testing.T) {
	t.Parallel()
	a := startAlpha(t, filepath.Join(t.TempDir(), "p"))
	head := records(3000, "good")
	for _, c := range []struct {
		name, lines string
		texts       []string
		stored      string
	}{
		{"first", "{\"key\":1}\n" + head, []string{"line 1: ", "(0 records before it are stored)"}, ""},
		{"middle", head + "{\"key\":\"x\",\"wert\":1}\n" + head,
			[]string{"line 3001: ", `"wert"`, "(3000 records before it are stored)", "hint: ", "tail -n +3001"}, head},
		{"last", head + `{"key":"k","value":`, []string{"line 3001: ", "(3000 records before it are stored)"}, head},
		// More than fits into the buffers between the two.
		{"first of many", "[]\n" + strings.Repeat(head, 300), []string{"line 1: ", "(0 records before it are stored)"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := write(t, filepath.Join(t.TempDir(), "f"), c.lines)
			r := brock(t, "load", "--alpha", a.url, "-c", c.name, "-f", file)
			r.expect(t, exitError, append(c.texts, "error: cannot load ")...)
			if r.stdout != "" {
				t.Errorf("it claims %q", r.stdout)
			}
			dump := brock(t, "dump", "--alpha", a.url, "-c", c.name)
			if dump.stdout != c.stored {
				t.Errorf("%d bytes are stored, want %d", len(dump.stdout), len(c.stored))
			}
		})
	}
}

func TestLoadErrors(t *testing.T) {
	t.Parallel()
	a := startAlpha(t, filepath.Join(t.TempDir(), "p"))
	dir := t.TempDir()
	cut := write(t, filepath.Join(dir, "cut.gz"), gzipped(t, records(50_000, "x"))[:1000])
	brock(t, "load", "--alpha", a.url, "-c", "c", "-f", filepath.Join(dir, "none")).expect(t, exitError, "no such file")
	brock(t, "load", "--alpha", a.url, "-c", "c", "-f", dir).expect(t, exitUsage, "it is a directory")
	brock(t, "load", "--alpha", a.url, "-c", "c", "-f", cut).expect(t, exitError, "records before it are stored")
	brock(t, "load", "--alpha", a.url, "-c", "a/b", "-f", cut).expect(t, exitUsage, "cannot load collection a/b")
	brock(t, "load", "--alpha", "127.0.0.1:1", "-c", "c", "-f", cut).expect(t, exitError,
		"cannot reach the alpha at http://127.0.0.1:1", "connection refused", "hint: is it running")
	brock(t, "dump", "--alpha", a.url, "-c", "none").expect(t, exitError, "cannot dump collection none", "none")
}

func TestLoadInterrupted(t *testing.T) {
	t.Parallel()
	a := startAlpha(t, filepath.Join(t.TempDir(), "p"))
	in, feed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	defer feed.Close()
	cmd := call{stdin: in}.command(t, "load", "--alpha", a.url, "-c", "c", "-f", "-")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// More than pipe and buffers hold: when it is written, the load is under way.
	if _, err := io.WriteString(feed, records(20_000, "x")); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // the exit code says it
	result{stderr: stderr.String(), code: cmd.ProcessState.ExitCode()}.
		expect(t, exitError, "cannot load collection c: ", "interrupt signal received")
}

func TestDumpFile(t *testing.T) {
	a := startAlpha(t, filepath.Join(t.TempDir(), "p"))
	want := records(100, "x")
	a.load(t, "c", want)
	dir := t.TempDir()
	old := write(t, filepath.Join(dir, "old"), "what was there")
	link := filepath.Join(dir, "link")
	if err := os.Symlink(old, link); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"new", "link", "-"} {
		r := call{dir: dir}.run(t, "dump", "--alpha", a.url, "-c", "c", "-o", name)
		r.expect(t, exitGood, "100 records of default/c, ")
		if got := r.stdout; name == "-" && got != want || name != "-" && got != "" {
			t.Errorf("dump to %s writes %q to stdout", name, got)
		}
	}
	if read(t, filepath.Join(dir, "new")) != want || read(t, old) != want {
		t.Error("the files are not the dump")
	}
	call{dir: dir}.run(t, "dump", "--alpha", a.url, "-c", "c", "-o", dir).expect(t, exitUsage, "it is a directory")
	call{dir: dir}.run(t, "dump", "--alpha", a.url, "-c", "c", "-o", "no/such/dir").expect(t, exitError, "no such file")
	call{dir: dir}.run(t, "dump", "--alpha", a.url, "-c", "c", "-o", os.DevNull).expect(t, exitGood)
	if info, err := os.Stat(os.DevNull); err != nil || info.Mode().IsRegular() {
		t.Fatalf("%s has become a file", os.DevNull)
	}
	expectEntries(t, dir, "link", "new", "old")
}

func TestDumpBrokenTransfer(t *testing.T) {
	half := records(10, "x")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Brock-Read-Ts", "7")
		if _, err := io.WriteString(w, half); err != nil {
			t.Error(err)
		}
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}))
	defer server.Close()
	dir := t.TempDir()
	old := write(t, filepath.Join(dir, "old"), "what was there")
	for _, name := range []string{"new", "old"} {
		r := call{dir: dir}.run(t, "dump", "--alpha", server.URL, "-c", "c", "-o", name)
		r.expect(t, exitError, "cannot dump collection c: cannot finish the transfer: it broke off after", "hint: ")
	}
	if read(t, old) != "what was there" {
		t.Error("the file that was there is gone")
	}
	expectEntries(t, dir, "old")
	brock(t, "dump", "--alpha", server.URL, "-c", "c").expect(t, exitError, "it broke off after")
}

func TestDumpOfSomethingElse(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("collection") == "ok" {
			return
		}
		http.Error(w, "nobody here\nmore", http.StatusTeapot)
	}))
	defer server.Close()
	brock(t, "dump", "--alpha", server.URL, "-c", "c").expect(t, exitError, "418", "nobody here", "hint: is this the address of a brock alpha?")
	brock(t, "dump", "--alpha", server.URL, "-c", "ok").expect(t, exitError, "is no dump")
}

// expectEntries compares the names in a directory.
func expectEntries(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("%s holds %q, want %q", dir, got, want)
	}
}
