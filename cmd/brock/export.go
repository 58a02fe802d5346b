package main

import (
	"context"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/restore"
	"github.com/brockdb/brock/worker"
)

// exportOptions are the flags of brock export.
type exportOptions struct {
	location   string
	backupID   string
	backupNum  int
	until      string
	namespace  string
	collection string
	form       choice
	fields     []string
	file       string
	keys       keyFlags
	storage    storageFlags
}

func newExport() *cobra.Command {
	o := new(exportOptions)
	cmd := &cobra.Command{
		Use:   "export -l URI -c COLLECTION",
		Short: "Read a collection straight out of a backup",
		Long: `Writes the records of a collection as they were at a backup, in the order of the
keys' bytes, without a restore: of the backups of the series only what can hold the
collection is read.

As ndjson, one JSON object {"key": …, "value": …} per line, brock load reads it. As
csv there is a header and a line per record: the key and the value as JSON, or with
--fields the named members of the values.`,
		Example: `  brock export -l /backups -c cities | head -n 3
  brock export -l /backups -c cities --backup_num 2 -o csv --fields name,population > cities.csv`,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), cmd) },
	}
	flags := cmd.Flags()
	addLocation(cmd, &o.location)
	addCollection(cmd, &o.namespace, &o.collection)
	addBackup(cmd, &o.backupID, &o.backupNum, "the series begun last", "the newest")
	addUntil(cmd, &o.until)
	o.form = choice{value: worker.NDJSON, allowed: []string{worker.NDJSON, worker.CSV}}
	flags.VarP(&o.form, "output", "o", "form of the records")
	complete(cmd, "output", cobra.FixedCompletions(o.form.allowed, cobra.ShellCompDirectiveNoFileComp))
	flags.StringSliceVar(&o.fields, "fields", nil, "`NAMES` of members of the values that become columns of a csv")
	flags.StringVar(&o.file, "file", "", "`FILE` to write instead of standard output")
	o.keys.add(cmd)
	o.storage.addReading(cmd)
	completeNothing(cmd, "fields")
	return cmd
}

func (o *exportOptions) run(ctx context.Context, cmd *cobra.Command) error {
	if slices.Contains(o.fields, "") {
		return fault.New(fault.Usage, "use flag --fields", "a name is empty")
	}
	until, err := restore.ParseUntil(o.until)
	if err != nil {
		return err
	}
	keys, err := o.keys.ring(ctx)
	if err != nil {
		return err
	}
	source, err := o.storage.open(ctx, cmd, o.location)
	if err != nil {
		return err
	}
	e := &worker.Export{
		Source: source, Point: restore.Point{BackupID: o.backupID, BackupNum: o.backupNum, Until: until}, Keys: keys,
		Namespace: o.namespace, Collection: o.collection, Format: o.form.value, Fields: o.fields, Progress: new(backup.Progress),
	}
	stdout := cmd.OutOrStdout()
	if o.file == "" || o.file == "-" {
		if terminalWidth(stdout) != nil { // where a bar would stand amid the records
			_, err = e.Run(ctx, stdout)
			return err
		}
		return o.export(ctx, cmd, e, stdout)
	}
	return writeFile(o.file, func(w io.Writer) error { return o.export(ctx, cmd, e, w) })
}

func (o *exportOptions) export(ctx context.Context, cmd *cobra.Command, e *worker.Export, w io.Writer) error {
	stop := startMeter(cmd.ErrOrStderr(), "export "+o.collection, ofProgress(e.Progress))
	done, err := e.Run(ctx, w)
	stop()
	if err != nil {
		return err
	}
	say(cmd.ErrOrStderr(), "%d records of %s/%s, as of commit %d (backup %d of series %s, taken %s)\n", done.Records, e.Namespace, e.Collection,
		done.Backup.ReadTs, done.Backup.BackupNum, done.Backup.BackupID, done.Backup.CreatedAt.UTC().Format("2006-01-02 15:04:05"))
	return nil
}
