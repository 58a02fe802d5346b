// Command brock is hot, incremental, encrypted, provably restorable backup for
// BadgerDB: the server, and the tools that work on backups without it.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

// version is set when linking, by make build.
var version string

func main() { os.Exit(run(os.Args[1:])) }

// run executes a command line and returns the exit code. The first SIGINT or
// SIGTERM cancels the command, the second ends the process.
func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)

	root := newRoot()
	root.SetArgs(args)
	err := execute(ctx, root)
	if err != nil {
		printError(os.Stderr, err)
	}
	return exitCode(err)
}

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
