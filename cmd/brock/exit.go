package main

import (
	"fmt"
	"io"

	"github.com/brockdb/brock/backup/fault"
)

// The exit codes, which every command's help lists.
const (
	exitGood    = 0
	exitError   = 1
	exitUsage   = 2
	exitDamaged = 3
)

const exitCodesHelp = `Exit codes:
  0  good
  1  error: it could not be done, or was interrupted
  2  usage: the command line, the environment or an input it names is wrong
  3  damaged: stored bytes are not what was written`

func exitCode(err error) int {
	switch {
	case err == nil:
		return exitGood
	case fault.Is(err, fault.Corrupt):
		return exitDamaged
	case fault.Is(err, fault.Usage):
		return exitUsage
	}
	return exitError
}

// printError writes an error for people: what cannot be done and why, then
// what they can do about it.
func printError(w io.Writer, err error) {
	say(w, "error: %v\n", err)
	if hint := fault.HintOf(err); hint != "" {
		say(w, "hint: %s\n", hint)
	}
}

// say writes a remark to stderr. When nobody listens there, nothing is lost.
func say(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }
