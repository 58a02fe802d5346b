package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// openTerminal returns both ends of a new pseudo terminal of 70 columns.
func openTerminal(t *testing.T) (screen, terminal *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = screen.Close() })
	fd := int(screen.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 70}); err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = terminal.Close() })
	return screen, terminal
}

// until reads a screen up to a text.
func until(t *testing.T, screen io.Reader, text string) string {
	t.Helper()
	var seen strings.Builder
	piece := make([]byte, 1024)
	for !strings.Contains(seen.String(), text) {
		n, err := screen.Read(piece)
		if err != nil {
			t.Fatalf("%q never came, only %q: %v", text, seen.String(), err)
		}
		seen.Write(piece[:n])
	}
	return seen.String()
}

func TestBarOnTerminal(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ term, shown string }{
		{"xterm", clearLine + "load c  888 KiB  "},
		{"dumb", ""},
	} {
		t.Run(c.term, func(t *testing.T) {
			a := startAlpha(t, filepath.Join(t.TempDir(), "p"))
			screen, terminal := openTerminal(t)
			in, feed := io.Pipe()
			cmd := call{stdin: in, env: []string{"TERM=" + c.term}}.command(t, "load", "--alpha", a.url, "-c", "c", "-f", "-")
			var stdout bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, terminal
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := records(20_000, "x")
			if _, err := io.WriteString(feed, lines); err != nil {
				t.Fatal(err)
			}
			if c.shown != "" {
				until(t, screen, byteCount(int64(len(lines)))+"  ")
			}
			if err := feed.Close(); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(terminal, "end of screen"); err != nil {
				t.Fatal(err)
			}
			rest := until(t, screen, "end of screen")
			if c.shown == "" && rest != "end of screen" {
				t.Errorf("a terminal without cursor movement got %q", rest)
			}
			if c.shown != "" && !strings.HasSuffix(rest, clearLine+"end of screen") {
				t.Errorf("the line was not cleared: %q", rest)
			}
			if !strings.HasPrefix(stdout.String(), "20000 records loaded") {
				t.Errorf("stdout is %q", stdout.String())
			}
		})
	}
}

// A dump to a terminal shows records, and no bar among them.
func TestDumpOnTerminal(t *testing.T) {
	a := startAlpha(t, filepath.Join(t.TempDir(), "p"))
	a.load(t, "c", records(2, "x"))
	screen, terminal := openTerminal(t)
	cmd := call{}.command(t, "dump", "--alpha", a.url, "-c", "c")
	cmd.Stdout, cmd.Stderr = terminal, terminal
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(terminal, "end of screen"); err != nil {
		t.Fatal(err)
	}
	want := strings.ReplaceAll(records(2, "x"), "\n", "\r\n") + "end of screen"
	if got := until(t, screen, "end of screen"); got != want {
		t.Errorf("the terminal shows %q", got)
	}
}
