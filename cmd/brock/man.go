package main

import (
	"os"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/brockdb/brock/backup/fault"
)

func newMan() *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "Write the manual pages",
		Long: `Writes a manual page for each command into a directory, which is made when it is
missing: brock.1, brock-restore.1 and so on. Read one with man DIR/brock.1, or
install them where man looks, such as /usr/local/share/man/man1.`,
		Example: "  brock man /usr/local/share/man/man1",
		Args:    oneArgument("DIR to write to"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(cmd *cobra.Command, args []string) error { return writeManual(cmd.Root(), args[0]) },
	}
}

// writeManual writes the same bytes whenever a binary is run: the pages have the
// date of the commit that it was built from.
func writeManual(root *cobra.Command, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fault.Wrap(err, "make directory of the manual")
	}
	root.DisableAutoGenTag = true
	root.Long += "\n\n" + exitCodesHelp
	header := &doc.GenManHeader{Section: "1", Source: "brock " + versionText(), Manual: "brock", Date: commitTime()}
	return fault.Wrap(doc.GenManTree(root, header, dir), "write the manual to %s", dir)
}

// commitTime returns nil when the binary does not know it.
func commitTime() *time.Time {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	for _, setting := range info.Settings {
		if setting.Key != "vcs.time" {
			continue
		}
		if at, err := time.Parse(time.RFC3339, setting.Value); err == nil {
			return &at
		}
	}
	return nil
}
