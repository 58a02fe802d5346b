package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/brockdb/brock/graph/client"
)

// demo is one run of the demonstration.
type demo struct {
	dir      string
	binary   string
	began    time.Time
	terminal bool // that stdout is
}

// step says what is done, does it, and says how long it took.
func (d *demo) step(what, command string, fn func() error) error {
	fmt.Printf("\n• %s\n", d.bold(what))
	d.show(command)
	began := time.Now()
	if err := fn(); err != nil {
		return fmt.Errorf("cannot %s: %w", strings.ToLower(what[:1])+what[1:], err)
	}
	fmt.Printf("    done in %.2f s\n", time.Since(began).Seconds())
	return nil
}

// show prints what is run: a command line or, beginning with POST, a request.
func (d *demo) show(command string) {
	prompt := "  $ "
	if strings.HasPrefix(command, "POST ") {
		prompt = "  > "
	}
	fmt.Println(prompt + strings.ReplaceAll(command, d.dir, "…"))
}

// bold makes text stand out on a terminal.
func (d *demo) bold(text string) string {
	if d.terminal {
		return "\x1b[1m" + text + "\x1b[0m"
	}
	return text
}

// indented prints what a command wrote.
func indented(output string) {
	fmt.Println("    " + strings.ReplaceAll(strings.TrimSpace(output), "\n", "\n    "))
}

func (d *demo) build(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", d.binary, "./cmd/brock")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	return cmd.Run()
}

func newKey(path string) error {
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return err
	}
	return os.WriteFile(path, key, 0o600)
}

// brock runs a command to its end and returns what it wrote to stdout. The text
// of an error is what it wrote to stderr.
func (d *demo) brock(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, d.binary, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s(brock %s: %w)", errs.String(), args[0], err)
	}
	return out.String(), nil
}

// alpha is a running brock alpha.
type alpha struct {
	cmd    *exec.Cmd
	log    bytes.Buffer
	url    string
	client *client.Client
}

// startAlpha serves a directory on a free port of the loopback address.
func (d *demo) startAlpha(ctx context.Context, dir, keyFile string) (*alpha, error) {
	args := []string{"alpha", "-p", dir, "--http", "127.0.0.1:0"}
	if keyFile != "" {
		args = append(args, "--encryption_key_file", keyFile)
	}
	a := &alpha{cmd: exec.CommandContext(ctx, d.binary, args...)}
	a.cmd.Stderr = &a.log
	out, err := a.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := a.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("alpha did not start: %w\n%s", a.cmd.Wait(), a.log.String())
	}
	fields := strings.Fields(line) // brock alpha listens on URL
	a.url = fields[len(fields)-1]
	a.client, err = client.New(a.url, client.Options{})
	if err != nil {
		return nil, errors.Join(err, a.stop())
	}
	fmt.Println("    " + strings.TrimSpace(line))
	return a, nil
}

// stop ends the alpha as an operator would.
func (a *alpha) stop() error {
	if a.client != nil {
		a.client.Close()
	}
	if err := a.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	if err := a.cmd.Wait(); err != nil {
		return fmt.Errorf("alpha ended with %w\n%s", err, a.log.String())
	}
	return nil
}
