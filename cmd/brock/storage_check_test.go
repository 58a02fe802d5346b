package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/brockdb/brock/backup/destination/check"
)

func TestStorageCheck(t *testing.T) {
	dir := t.TempDir()
	text := good(t, "storage", "check", dir, "--objects", "10", "--writers", "4").stdout
	for _, want := range []string{"good  write and read back", "create if absent  ", "object lock           no", "MEDIAN"} {
		if !strings.Contains(text, want) {
			t.Errorf("the report has no %q:\n%s", want, text)
		}
	}
	var report check.Report
	out := good(t, "storage", "check", "file://"+dir, "--objects", "10", "--output", "json").stdout
	if err := json.Unmarshal([]byte(out), &report); err != nil || !report.Good || len(report.Results) == 0 || len(report.Latencies) == 0 {
		t.Errorf("%+v, %v", report, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestStorageCheckFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"storage", "check"}, exitUsage, "URI of a storage"},
		{[]string{"storage", "check", "ftp://host/x"}, exitUsage, "unknown scheme"},
		{[]string{"storage", "check", file}, exitUsage, "not a directory"},
		{[]string{"storage", "check", "/x", "--writers", "1"}, exitUsage, "writers from 2"},
	} {
		brock(t, test.args...).expect(t, test.code, test.want)
	}
}

// TestCommandsTellWhatTheyWaitFor points a command at a port where nobody
// listens: what is tried again is told on stderr, and not on stdout.
func TestCommandsTellWhatTheyWaitFor(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	env := call{env: []string{"MINIO_ACCESS_KEY=access", "MINIO_SECRET_KEY=hunter2hunter2"}}
	cmd := env.command(t, "lsbackup", "-l", "minio://"+address+"/bucket?secure=false")
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	told := lines.Scan() && strings.HasPrefix(lines.Text(), "waiting: attempt 1 of 10 to list minio://"+address+"/bucket failed, the next is in ")
	if !told || strings.Contains(lines.Text(), "hunter2") {
		t.Errorf("stderr %q", lines.Text())
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait() // killed
	if stdout.Len() > 0 {
		t.Errorf("stdout %q", stdout.String())
	}
}
