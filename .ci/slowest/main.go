// Command slowest runs "go test" with the given arguments, prints what
// "go test" prints and, at the end, the tests that took longest.
//
//	go run ./.ci/slowest -race ./...
package main

import (
	"fmt"
	"os"
	"os/exec"
)

// listed is how many tests the closing list names.
const listed = 15

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run starts "go test -json" and follows it to its end. It fails when a test
// or a build failed and when "go test" could not do its work.
func run(args []string) error {
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	events, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("cannot run go test: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot run go test: %w", err)
	}
	report := newReport(os.Stdout)
	readErr := report.follow(events)
	// Waiting comes first: without a reader the pipe would block the child.
	if readErr != nil {
		_ = cmd.Process.Kill() // its exit is reported below, the cause is readErr
	}
	waitErr := cmd.Wait()
	if readErr != nil {
		return fmt.Errorf("cannot follow go test: %w", readErr)
	}
	if err := report.close(listed); err != nil {
		return fmt.Errorf("cannot print the test report: %w", err)
	}
	if waitErr != nil {
		return fmt.Errorf("cannot pass the tests: go test: %w", waitErr)
	}
	return nil
}
