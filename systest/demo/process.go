package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
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
	dir    string
	binary string
	began  time.Time
}

// step says what is done, does it, and says how long it took.
func (d *demo) step(what, command string, fn func() error) error {
	fmt.Printf("• %s\n", what)
	if command != "" {
		fmt.Printf("    %s\n", strings.ReplaceAll(command, d.dir, "…"))
	}
	began := time.Now()
	if err := fn(); err != nil {
		return fmt.Errorf("cannot %s: %w", strings.ToLower(what[:1])+what[1:], err)
	}
	fmt.Printf("    done in %.2f s\n", time.Since(began).Seconds())
	return nil
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

// brock runs a command to its end and returns what it wrote to stdout. An error
// has what it wrote to stderr.
func (d *demo) brock(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, d.binary, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("brock %s: %w\n%s", args[0], err, errs.String())
	}
	return out.String(), nil
}

// alpha is a running brock alpha.
type alpha struct {
	cmd    *exec.Cmd
	log    bytes.Buffer
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
	fields := strings.Fields(line)
	a.client, err = client.New(fields[len(fields)-1], client.Options{})
	if err != nil {
		return nil, fmt.Errorf("%w; %w", err, a.stop())
	}
	return a, nil
}

// stop ends the alpha as an operator would.
func (a *alpha) stop() error {
	if a.client != nil {
		a.client.Close()
	}
	if err := a.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := a.cmd.Wait(); err != nil {
		return fmt.Errorf("alpha ended with %w\n%s", err, a.log.String())
	}
	return nil
}
