// Command brock is hot, incremental, encrypted, provably restorable backup for
// BadgerDB: the server, and the tools that work on backups without it.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	_ "time/tzdata" // schedules know time zones where the system has none

	"github.com/brockdb/brock/backup/destination"
)

// version is set when linking, by make build.
var version string

func main() { os.Exit(run(os.Args[1:])) }

// run executes a command line and returns the exit code.
func run(args []string) int {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go endOnSignals(signals, cancel)

	root := newRoot()
	root.SetArgs(args)
	noted := destination.WithNotice(ctx, func(text string) { say(os.Stderr, "waiting: %s\n", text) })
	err := execute(noted, root)
	if err != nil {
		printError(os.Stderr, err)
	}
	return exitCode(err)
}

// endOnSignals cancels the command at the first signal and ends the process at
// the second.
func endOnSignals(signals <-chan os.Signal, cancel context.CancelCauseFunc) {
	cancel(interruption{<-signals})
	<-signals
	os.Exit(exitError)
}

// interruption is why a command was canceled.
type interruption struct{ signal os.Signal }

// Error names the signal.
func (i interruption) Error() string { return i.signal.String() + " signal received" }

// Is makes an interruption a cancellation to whoever asks.
func (i interruption) Is(target error) bool { return target == context.Canceled }

// versionText returns the version that was linked in or, of a binary made by
// go install or go build, what Go knows about it.
func versionText() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			return "devel-" + setting.Value
		}
	}
	return "devel"
}
