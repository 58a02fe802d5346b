package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// bashCompletion stands in for the one function of the package bash-completion
// that the script needs.
const bashCompletion = `
_get_comp_words_by_ref() {
	words=("${COMP_WORDS[@]}") cword=$COMP_CWORD cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
}
bind "set bell-style none"
PS1="READY> "
`

// The tab key in a real bash on a terminal.
func TestCompletionInBash(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rc := write(t, filepath.Join(dir, "rc"), bashCompletion+good(t, "completion", "bash").stdout)
	screen, terminal := openTerminal(t)
	bash := exec.Command("bash", "--noprofile", "--rcfile", rc, "-i")
	bash.Env = append(cleanEnvironment(), "TERM=dumb", "HOME="+dir, "PATH="+filepath.Dir(binary)+string(os.PathListSeparator)+os.Getenv("PATH"))
	bash.Stdin, bash.Stdout, bash.Stderr = terminal, terminal, terminal
	bash.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := bash.Start(); err != nil {
		t.Fatal(err)
	}
	if err := terminal.Close(); err != nil { // bash has it: when it ends, so does the screen
		t.Fatal(err)
	}
	const deadline = time.Minute
	timer := time.AfterFunc(deadline, func() { _ = bash.Process.Kill() }) // until then fails
	defer timer.Stop()
	for _, c := range []struct{ typed, completed string }{
		{"brock canc\t", "brock cancel "},
		{"brock verify --level f\t", "--level full "},
		{"brock backup --force_f\t", "--force_full "},
		{"brock completion powe\t", "completion powershell "},
	} {
		until(t, screen, "READY> ")
		if _, err := io.WriteString(screen, c.typed); err != nil {
			t.Fatal(err)
		}
		until(t, screen, c.completed)
		if _, err := fmt.Fprint(screen, "--help >/dev/null\n"); err != nil {
			t.Fatal(err)
		}
	}
	until(t, screen, "READY> ")
	if _, err := io.WriteString(screen, "exit\n"); err != nil {
		t.Fatal(err)
	}
	if err := bash.Wait(); err != nil {
		t.Errorf("bash: %v", err)
	}
}
