package main

import (
	"context"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
)

// listOptions are the flags of brock lsbackup.
type listOptions struct {
	location string
	output   choice
	storage  storageFlags
}

func newListBackups() *cobra.Command {
	o := new(listOptions)
	cmd := &cobra.Command{
		Use:   "lsbackup -l URI",
		Short: "List the backups at a location",
		Long: `Lists the backups at a location, series after series, the one begun last at the end,
and in a series by number. The JSON has one object per backup with every field of
its manifest. No key is needed.

A backup whose manifest cannot be used is named on stderr, and the exit code tells.`,
		Example: `  brock lsbackup -l /backups
  brock lsbackup -l /backups --output table`,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), cmd) },
	}
	addLocation(cmd, &o.location)
	addChoice(cmd, &o.output, "output", "form of the list", "json", "table")
	o.storage.addReading(cmd)
	return cmd
}

func (o *listOptions) run(ctx context.Context, cmd *cobra.Command) error {
	source, err := o.storage.open(ctx, cmd, o.location)
	if err != nil {
		return err
	}
	listing, err := backup.List(ctx, source)
	if err != nil {
		return err
	}
	if err := o.print(cmd.OutOrStdout(), listed(listing)); err != nil {
		return err
	}
	printRemarks(cmd.ErrOrStderr(), source, listing)
	if len(listing.Damaged) == 0 {
		return nil
	}
	kind := fault.Other
	for _, damaged := range listing.Damaged {
		printError(cmd.ErrOrStderr(), damaged.Err)
		if fault.Is(damaged.Err, fault.Corrupt) {
			kind = fault.Corrupt
		}
	}
	return fault.New(kind, "list all backups at "+source.String(), "%d of %d manifests cannot be used",
		len(listing.Damaged), len(listing.Damaged)+len(listed(listing)))
}

// printRemarks tells what an empty or a short list may be due to.
func printRemarks(w io.Writer, source destination.Destination, l *backup.Listing) {
	if len(l.Series) == 0 && len(l.Damaged) == 0 {
		say(w, "there is no backup at %s\n", source)
	}
	for _, folder := range l.Unfinished {
		say(w, "%s is no backup: it has no manifest; one may be under way, or it failed\n", folder)
	}
}

// listedBackup is a manifest and its digest, which --expect_digest takes.
type listedBackup struct {
	*manifest.Manifest
	Digest string `json:"digest"`
}

func listed(l *backup.Listing) []listedBackup {
	all := []listedBackup{}
	for _, series := range l.Series {
		for _, m := range series.Members {
			all = append(all, listedBackup{m.Manifest, m.Digest})
		}
	}
	return all
}

func (o *listOptions) print(w io.Writer, all []listedBackup) error {
	if o.output.value == "json" {
		return printJSON(w, all)
	}
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	say(table, "BACKUP ID\tNUM\tTYPE\tTAKEN\tTOOK\tVERSION\tRECORDS\tRAW\tSTORED\tKEY\tPATH\n")
	for _, m := range all {
		key := m.KeyID
		if !m.Encrypted {
			key = "-"
		}
		say(table, "%s\t%d\t%s\t%s\t%s\t%d\t%d\t%s\t%s\t%s\t%s\n",
			m.BackupID, m.BackupNum, m.Type, m.CreatedAt.UTC().Format(time.DateTime),
			m.FinishedAt.Sub(m.CreatedAt).Round(time.Millisecond), m.ReadTs, m.Records,
			byteCount(m.RawBytes), byteCount(m.StoredBytes), key, m.Path)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, text.String())
	return err
}
