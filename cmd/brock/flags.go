package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// choice is a flag with a fixed set of values.
type choice struct {
	value   string
	allowed []string
}

// String returns the value.
func (c *choice) String() string { return c.value }

// Type names the values in the help.
func (c *choice) Type() string { return strings.Join(c.allowed, "|") }

// Set refuses other values.
func (c *choice) Set(value string) error {
	if !slices.Contains(c.allowed, value) {
		return fmt.Errorf("it must be one of %s", strings.Join(c.allowed, ", "))
	}
	c.value = value
	return nil
}

// addChoice adds a flag whose first allowed value is the default.
func addChoice(cmd *cobra.Command, c *choice, name, usage string, allowed ...string) {
	*c = choice{value: allowed[0], allowed: allowed}
	cmd.Flags().Var(c, name, usage)
	complete(cmd, name, cobra.FixedCompletions(allowed, cobra.ShellCompDirectiveNoFileComp))
}

// must panics on a mistake in the definition of a command, which every start
// of the program would show.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

func require(cmd *cobra.Command, flags ...string) {
	for _, name := range flags {
		must(cmd.MarkFlagRequired(name))
	}
}

func complete(cmd *cobra.Command, flag string, with cobra.CompletionFunc) {
	must(cmd.RegisterFlagCompletionFunc(flag, with))
}

func completeDirs(cmd *cobra.Command, flags ...string) {
	for _, name := range flags {
		must(cmd.MarkFlagDirname(name))
	}
}

func completeNothing(cmd *cobra.Command, flags ...string) {
	for _, name := range flags {
		complete(cmd, name, cobra.NoFileCompletions)
	}
}
