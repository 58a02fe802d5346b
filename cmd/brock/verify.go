package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/restore"
	"github.com/brockdb/brock/worker"
)

// verifyOptions are the flags of brock verify.
type verifyOptions struct {
	location  string
	backupID  string
	backupNum int
	level     choice
	keys      keyFlags
	atRest    atRestFlags
	expect    restore.Expect
	scratch   string
	output    choice
	storage   storageFlags
}

func newVerify() *cobra.Command {
	o := new(verifyOptions)
	cmd := &cobra.Command{
		Use:   "verify -l URI",
		Short: "Prove that the backups at a location are good",
		Long: `Verifies all series at a location, or one. The levels, each with those before it:
  quick    manifests and their order, part lists, every object there with its size
  full     every byte: digests, decryption, decompression, order of keys, counts
  restore  a restore into a scratch directory, where every record is read and counted`,
		Example: `  brock verify -l /backups
  brock verify -l /backups --level restore --scratch /var/tmp --encryption_key_file key`,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), cmd) },
	}
	flags := cmd.Flags()
	addLocation(cmd, &o.location)
	addBackup(cmd, &o.backupID, &o.backupNum, "all series", "all")
	addChoice(cmd, &o.level, "level", "how thorough", levels()...)
	o.keys.add(cmd)
	o.atRest.add(cmd, "the scratch directory")
	addExpect(cmd, &o.expect)
	flags.StringVar(&o.scratch, "scratch", "", "`DIR` to restore into and remove again; empty means the system's temporary one")
	addChoice(cmd, &o.output, "output", "form of the report", "text", "json")
	o.storage.addReading(cmd)
	completeDirs(cmd, "scratch")
	return cmd
}

func levels() (names []string) {
	for _, level := range restore.Levels {
		names = append(names, string(level))
	}
	return names
}

func (o *verifyOptions) run(ctx context.Context, cmd *cobra.Command) error {
	keys, err := o.keys.ring(ctx)
	if err != nil {
		return err
	}
	atRest, err := o.atRest.key(ctx, &o.keys.vault)
	if err != nil {
		return err
	}
	source, err := o.storage.open(ctx, cmd, o.location)
	if err != nil {
		return err
	}
	v := &restore.Verify{
		Source: source, BackupID: o.backupID, BackupNum: o.backupNum, Keys: keys, AtRest: atRest, Expect: o.expect, Level: restore.Level(o.level.value),
		Scratch: o.scratch, NewSchema: worker.NewRestoreSchema, Progress: new(backup.Progress),
	}
	stop := startMeter(cmd.ErrOrStderr(), "verify", ofProgress(v.Progress))
	report, err := v.Run(ctx)
	stop()
	if report == nil {
		return err
	}
	return errors.Join(err, o.print(cmd.OutOrStdout(), report))
}

func (o *verifyOptions) print(w io.Writer, report *restore.Report) error {
	if o.output.value == "json" {
		return printJSON(w, report)
	}
	lines := make([]string, 0, len(report.Series)+len(report.Problems))
	for _, s := range report.Series {
		state := "good"
		if !s.Good {
			state = "NOT GOOD"
		}
		line := fmt.Sprintf("series %s: %s, %d backups, %d records, %s", s.BackupID, state, s.Backups, s.Records, byteCount(s.StoredBytes))
		if s.Problem != "" {
			line += "\n  " + s.Problem
		}
		if s.Hint != "" {
			line += "\n  hint: " + s.Hint
		}
		lines = append(lines, line)
	}
	for _, problem := range report.Problems {
		lines = append(lines, "of no series: NOT GOOD\n  "+problem)
	}
	for _, line := range lines {
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}
