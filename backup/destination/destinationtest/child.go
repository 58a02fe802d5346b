package destinationtest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

const (
	childVariable = "BROCK_TEST_CHILD"
	reportPrefix  = "child reports: "
)

// Child is the running test once more, in a process of its own that can be
// killed, confined, or run as somebody else.
type Child struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdin  io.Closer
	lines  chan string
	output bytes.Buffer // complete once lines is closed
}

// ChildJob returns the job StartChild gave to this process; ok is false in the
// process that may start children. The test asks for it first of all.
func ChildJob() (job string, ok bool) { return os.LookupEnv(childVariable) }

// Report sends one line from a child to its parent.
func Report(line string) error {
	_, err := fmt.Println(reportPrefix + line)
	return err
}

// ChildContext returns a context that ends when the parent does, so that no
// child outlives the tests.
func ChildContext(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, os.Stdin) // ends with the parent, in whatever way
	}()
	return ctx
}

// StartChild runs the test t again, alone, in a new process, where ChildJob
// returns job. attr may be nil. The error is that of starting the process.
func StartChild(t *testing.T, job string, attr *syscall.SysProcAttr) (*Child, error) {
	t.Helper()
	var pattern []string
	for element := range strings.SplitSeq(t.Name(), "/") {
		pattern = append(pattern, "^"+regexp.QuoteMeta(element)+"$")
	}
	cmd := exec.Command(os.Args[0], "-test.run="+strings.Join(pattern, "/"), "-test.count=1", "-test.timeout=2m")
	// The race detector would sleep for a second at the end of each child.
	race := strings.TrimSpace(os.Getenv("GORACE") + " atexit_sleep_ms=0")
	cmd.Env = append(os.Environ(), childVariable+"="+job, "GORACE="+race)
	cmd.SysProcAttr = attr
	c := &Child{t: t, cmd: cmd, lines: make(chan string)}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = cmd.Stdout
	if c.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go c.scan(stdout)
	t.Cleanup(c.stop)
	return c, nil
}

func (c *Child) scan(r io.Reader) {
	defer close(c.lines)
	for s := bufio.NewScanner(r); s.Scan(); {
		if line, ok := strings.CutPrefix(s.Text(), reportPrefix); ok {
			c.lines <- line
		} else {
			c.output.WriteString(s.Text() + "\n")
		}
	}
}

// Next returns the next line the child reports, and fails the test when the
// child ends without one.
func (c *Child) Next() string {
	c.t.Helper()
	line, ok := <-c.lines
	if !ok {
		c.t.Fatalf("the child ended early:\n%s", c.output.String())
	}
	return line
}

// Kill sends SIGKILL, waits until the process is gone, and returns what it had
// reported that Next has not returned.
func (c *Child) Kill() []string {
	c.t.Helper()
	if err := c.cmd.Process.Kill(); err != nil {
		c.t.Fatalf("cannot kill the child: %v", err)
	}
	left := c.drain()
	var exit *exec.ExitError
	if err := c.cmd.Wait(); !errors.As(err, &exit) || exit.Success() {
		c.t.Fatalf("the killed child ended with %v:\n%s", err, c.output.String())
	}
	return left
}

// Wait waits for the child's end, and fails the test when its test failed.
func (c *Child) Wait() []string {
	c.t.Helper()
	left := c.drain()
	if err := c.cmd.Wait(); err != nil {
		c.t.Fatalf("the child failed: %v\n%s", err, c.output.String())
	}
	return left
}

// PID returns the process id of the child.
func (c *Child) PID() int { return c.cmd.Process.Pid }

func (c *Child) drain() []string {
	var left []string
	for line := range c.lines {
		left = append(left, line)
	}
	return left
}

// stop ends a child that neither Kill nor Wait has ended, after a failed test.
func (c *Child) stop() {
	if c.cmd.ProcessState != nil {
		return
	}
	_ = c.cmd.Process.Kill() // it may have ended by itself
	_ = c.stdin.Close()
	c.drain()
	_ = c.cmd.Wait() // its end was asked for
}
