package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/brockdb/brock/backup/destination/check"
)

// newStorage is the group of commands about where backups live.
func newStorage() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "storage",
		Short: "Try out where backups live",
	}
	cmd.AddCommand(newStorageCheck())
	return cmd
}

// storageCheckOptions are the flags of brock storage check.
type storageCheckOptions struct {
	checks  check.Options
	output  choice
	storage storageFlags
}

func newStorageCheck() *cobra.Command {
	o := new(storageCheckOptions)
	cmd := &cobra.Command{
		Use:   "check URI",
		Short: "Check that a storage keeps the promises backups rest on",
		Long: `Writes, reads, lists and removes objects in a scratch folder of its own, and removes
that again: that an object is seen only when it is complete, that of many writers one
wins, ranges, names, the order of listings. Then it says what the storage can do and
how long calls took. Run it before the first backup, with the credentials of backups.`,
		Example: `  brock storage check /backups
  brock storage check s3://s3.us-west-2.amazonaws.com/bucket/db1 --output json`,
		Args:              oneArgument("URI of a storage"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), cmd, args[0]) },
	}
	flags := cmd.Flags()
	flags.IntVar(&o.checks.Objects, "objects", 200, "`N` objects in the folder that is listed")
	flags.IntVar(&o.checks.Writers, "writers", 20, "`N` writers that want the same object")
	addChoice(cmd, &o.output, "output", "form of the report", "text", "json")
	o.storage.addReading(cmd)
	completeNothing(cmd, "objects", "writers")
	return cmd
}

func (o *storageCheckOptions) run(ctx context.Context, cmd *cobra.Command, uri string) error {
	d, err := o.storage.open(ctx, cmd, uri)
	if err != nil {
		return err
	}
	report, err := check.Run(ctx, d, o.checks)
	if report == nil {
		return err
	}
	if o.output.value == "json" {
		return errors.Join(err, printJSON(cmd.OutOrStdout(), report))
	}
	return errors.Join(err, printStorageReport(cmd.OutOrStdout(), report))
}

// printStorageReport writes the report as text.
func printStorageReport(w io.Writer, r *check.Report) error {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, c := range r.Results {
		state := "good"
		if c.Problem != "" {
			state = "NOT GOOD"
		}
		say(table, "%s\t%s\t%.1f s\n", state, c.Name, c.Seconds)
		if c.Problem != "" {
			say(table, "\t  %s\n", c.Problem)
		}
	}
	checksums := r.Checksums
	if checksums == "" {
		checksums = "none"
	}
	if r.Good {
		say(table, "\ncreate if absent\tyes\nranged reads\tyes\n")
	}
	say(table, "checksums of uploads\t%s\n", checksums)
	say(table, "object lock\t%s\n", r.ObjectLock)
	say(table, "\nCALL\tN\tMEDIAN\tMOST\tBYTES/S\n")
	for _, l := range r.Latencies {
		rate := ""
		if l.BytesPerSecond > 0 {
			rate = byteCount(int64(l.BytesPerSecond))
		}
		say(table, "%s\t%d\t%.1f ms\t%.1f ms\t%s\n", l.Op, l.Calls, l.Median, l.Most, rate)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if r.Left != "" {
		say(&text, "\nnot removed: %s\n", r.Left)
	}
	_, err := fmt.Fprint(w, text.String())
	return err
}
