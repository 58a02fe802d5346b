package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/fault"
)

// copyOptions are the flags of brock copy, and of brock rekey with its own
// beside them.
type copyOptions struct {
	location    string
	destination string
	backupID    string
	all         bool
	keys        keyFlags
	newKey      newKeyFlags // of rekey
	from, to    credentialFlags
	output      choice
	storage     storageFlags
}

func newCopy() *cobra.Command {
	o := new(copyOptions)
	cmd := &cobra.Command{
		Use:   "copy -l URI -d URI",
		Short: "Copy a series of backups to another place",
		Long: `Copies a series, or all, from one destination to another of whatever kind. Every byte
is held against its digest before it becomes visible there; parts come first, a
manifest last. What is there already is not sent again, so a copy that was cut off, or
a series that has grown, is completed by the same command.

An encrypted series is copied as it is, with or without its key. Without the key its
parts are compared by number and size alone; brock verify can check the copy later.`,
		Example: `  brock copy -l /backups -d s3://s3.eu-central-1.amazonaws.com/bucket/backups
  brock copy -l minio://10.0.0.9:9000/backups -d /mnt/backups --all --encryption_key_file key`,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), cmd, "copy") },
	}
	o.add(cmd)
	return cmd
}

// add adds the flags that both commands have.
func (o *copyOptions) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	addLocation(cmd, &o.location)
	flags.StringVarP(&o.destination, "destination", "d", "", "`URI` to copy to")
	flags.StringVar(&o.backupID, "backup_id", "", "`ID` of the series; empty means the series begun last")
	flags.BoolVar(&o.all, "all", false, "copy all series")
	o.keys.add(cmd)
	o.from.add(cmd, "from_", "--location")
	o.to.add(cmd, "to_", "--destination")
	addChoice(cmd, &o.output, "output", "form of the report", "text", "json")
	o.storage.add(cmd)
	require(cmd, "destination")
	completeDirs(cmd, "destination")
	completeNothing(cmd, "backup_id")
}

func (o *copyOptions) run(ctx context.Context, cmd *cobra.Command, verb string) error {
	job, err := o.job(ctx, cmd, verb)
	if err != nil {
		return err
	}
	stop := startMeter(cmd.ErrOrStderr(), verb, ofProgress(job.Progress))
	report, err := job.Run(ctx)
	stop()
	if report == nil {
		return err
	}
	return errors.Join(err, o.print(cmd.OutOrStdout(), report))
}

func (o *copyOptions) job(ctx context.Context, cmd *cobra.Command, verb string) (*backup.Copy, error) {
	if o.all && o.backupID != "" {
		return nil, fault.New(fault.Usage, "use flag --all", "--backup_id names one series")
	}
	keys, err := o.keys.ring(ctx)
	if err != nil {
		return nil, err
	}
	job := &backup.Copy{BackupID: o.backupID, All: o.all, Keys: keys, Progress: new(backup.Progress)}
	if verb == "rekey" {
		if job.NewKey, err = o.newKey.read(ctx, &o.keys.vault); err != nil {
			return nil, err
		}
	}
	if job.From, err = o.storage.openAs(ctx, cmd, o.location, o.from); err != nil {
		return nil, err
	}
	job.To, err = o.storage.openAs(ctx, cmd, o.destination, o.to)
	return job, err
}

func (o *copyOptions) print(w io.Writer, report *backup.Copied) error {
	if o.output.value == "json" {
		return printJSON(w, report)
	}
	for _, s := range report.Series {
		state := "complete"
		if !s.Complete {
			state = "NOT COMPLETE"
		}
		if !s.Authenticated {
			state += ", its parts compared by size alone"
		}
		_, err := fmt.Fprintf(w, "series %s: %s, %d of %d backups copied, %d were there; %d objects with %s sent, %d with %s were there\n",
			s.BackupID, state, s.BackupsCopied, s.Backups, s.BackupsThere,
			s.ObjectsCopied, byteCount(s.BytesCopied), s.ObjectsThere, byteCount(s.BytesThere))
		if err != nil {
			return err
		}
	}
	return nil
}
