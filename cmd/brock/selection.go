package main

import (
	"github.com/spf13/cobra"

	"github.com/brockdb/brock/backup/manifest"
)

// selectionFlags are the flags that choose collections.
type selectionFlags struct{ manifest.Selection }

func (s *selectionFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringSliceVar(&s.Include, "include", nil, "only these `COLLECTIONS`: name or namespace/name, * for any characters")
	flags.StringSliceVar(&s.Exclude, "exclude", nil, "all `COLLECTIONS` but these")
	flags.StringSliceVar(&s.Namespaces, "namespaces", nil, "only collections of these `NAMESPACES`")
	completeNothing(cmd, "include", "exclude", "namespaces")
}

// addUntil adds the flag that chooses a backup by time.
func addUntil(cmd *cobra.Command, until *string) {
	cmd.Flags().StringVar(until, "until", "", "instead of --backup_num: the newest backup begun at or before this `TIME`, such as 2026-11-20T10:00:00Z")
	completeNothing(cmd, "until")
}
