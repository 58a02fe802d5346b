package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/restore"
	"github.com/brockdb/brock/worker"
)

// restoreOptions are the flags of brock restore.
type restoreOptions struct {
	dir             string
	location        string
	backupID        string
	backupNum       int
	until           string
	selection       selectionFlags
	keys            keyFlags
	atRest          atRestFlags
	expect          restore.Expect
	zero            string
	forceZero       bool
	ignoreFreeSpace bool
	dryRun          bool
	output          choice
	storage         storageFlags
}

func newRestore() *cobra.Command {
	o := new(restoreOptions)
	cmd := &cobra.Command{
		Use:   "restore -p DIR -l URI",
		Short: "Make database directories of a backup, offline",
		Long: `Restores a series of backups, the full one and the incrementals on top of it, into
new directories: DIR/p1 for group 1, DIR/p2 for group 2, and so on. Nothing that
runs is touched, and a directory with content is refused.

Everything that can be checked is checked first: manifests, their order, keys, that
every object is there, free space. The plan goes to stderr. A restore that does not
come to its end leaves nothing that looks finished.

On stdout stand the version that was restored and the highest uid in use. An alpha
that is started on the directory goes on above both by itself.`,
		Example: `  brock restore -p restored -l /backups --force_zero=false
  brock restore -p restored -l /backups --backup_num 2 --force_zero=false --dry_run
  brock restore -p restored -l /backups --until 2026-11-20T10:00:00Z --include 'geo/*' --force_zero=false`,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), cmd) },
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.dir, "postings", "p", "", "`DIR` in which p1, p2… are made")
	addLocation(cmd, &o.location)
	addBackup(cmd, &o.backupID, &o.backupNum, "the series begun last", "the newest")
	addUntil(cmd, &o.until)
	o.selection.add(cmd)
	o.keys.add(cmd)
	o.atRest.add(cmd, "the directories that are made")
	addExpect(cmd, &o.expect)
	flags.StringVarP(&o.zero, "zero", "z", "", "`ADDR` of a zero to tell about the restored version; not served by this version")
	flags.BoolVar(&o.forceZero, "force_zero", true, "refuse to restore without a zero")
	flags.BoolVar(&o.ignoreFreeSpace, "ignore_free_space", false, "restore although the disk may be too small")
	flags.BoolVar(&o.dryRun, "dry_run", false, "check everything and print the plan, restore nothing")
	addChoice(cmd, &o.output, "output", "form of the result", "text", "json")
	o.storage.addReading(cmd)
	require(cmd, "postings")
	completeDirs(cmd, "postings")
	completeNothing(cmd, "zero")
	return cmd
}

// addLocation adds the flag that says where backups are.
func addLocation(cmd *cobra.Command, location *string) {
	cmd.Flags().StringVarP(location, "location", "l", "", "`URI` of the backups: an absolute path, or file, s3, minio, gs or azblob://…")
	require(cmd, "location")
	completeDirs(cmd, "location")
}

// addBackup adds the flags that choose among the backups at a location.
func addBackup(cmd *cobra.Command, id *string, num *int, noID, noNum string) {
	cmd.Flags().StringVar(id, "backup_id", "", "`ID` of the series; empty means "+noID)
	cmd.Flags().IntVar(num, "backup_num", 0, "`NUMBER` of the last backup of the series to use; 0 means "+noNum)
	completeNothing(cmd, "backup_id", "backup_num")
}

// addExpect adds the flags that say what is known of a series from elsewhere.
func addExpect(cmd *cobra.Command, expect *restore.Expect) {
	cmd.Flags().IntVar(&expect.BackupNum, "expect_backup_num", 0,
		"`NUMBER` that the newest backup of the series has at least, as known from elsewhere: tells when backups were removed")
	cmd.Flags().StringVar(&expect.Digest, "expect_digest", "",
		"`DIGEST` that the manifest of one of its backups has, as lsbackup told: tells that and every change before it")
	completeNothing(cmd, "expect_backup_num", "expect_digest")
}

// checkZero does as Dgraph's restore: without a zero that could be told, the
// operator has to say that this is meant.
func (o *restoreOptions) checkZero() error {
	const way = "restore with --force_zero=false: the alpha goes on above the restored version and uid by itself"
	switch {
	case o.zero != "":
		return fault.New(fault.Usage, "tell the zero at "+o.zero, "this version of brock serves no cluster").
			WithHint("leave -z away and %s", way)
	case o.forceZero:
		return fault.New(fault.Usage, "restore",
			"No Zero address passed. Use the --force_zero option if you'd like to force the restore").WithHint("%s", way)
	}
	return nil
}

func (o *restoreOptions) run(ctx context.Context, cmd *cobra.Command) error {
	if err := o.checkZero(); err != nil {
		return err
	}
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
	until, err := restore.ParseUntil(o.until)
	if err != nil {
		return err
	}
	r := &restore.Restore{
		Source: source, BackupID: o.backupID, BackupNum: o.backupNum, Until: until, Keys: keys, AtRest: atRest, Expect: o.expect, Dir: o.dir,
		NewSchema: worker.NewSelectionSchema(o.selection.Selection), IgnoreFreeSpace: o.ignoreFreeSpace, Progress: new(backup.Progress),
	}
	plan, err := r.Plan(ctx)
	if err != nil {
		return err
	}
	if o.dryRun && o.output.value == "json" {
		return printJSON(cmd.OutOrStdout(), newPlanJSON(plan))
	}
	if o.dryRun {
		return plan.Print(cmd.OutOrStdout())
	}
	_ = plan.Print(cmd.ErrOrStderr()) // as say does
	stop := startMeter(cmd.ErrOrStderr(), "restore", ofProgress(r.Progress))
	result, err := r.Execute(ctx, plan)
	stop()
	if err != nil {
		return err
	}
	if err := o.print(cmd.OutOrStdout(), result); err != nil {
		return err
	}
	printNext(cmd.ErrOrStderr(), plan, result)
	return nil
}

func (o *restoreOptions) print(w io.Writer, result *restore.Result) error {
	if o.output.value == "json" {
		return printJSON(w, result)
	}
	_, err := fmt.Fprintf(w, "Restore version: %d\nRestore max uid: %d\n", result.Version, result.MaxUID)
	return err
}

// printNext says what to do with what was restored.
func printNext(w io.Writer, plan *restore.Plan, result *restore.Result) {
	say(w, "%d records restored, those of the catalog included. Start an alpha on them:\n", result.Records)
	for _, g := range plan.Groups {
		say(w, "  brock alpha --group %d -p %s\n", g.Group, g.Target)
	}
}

// printJSON writes v indented, with a newline at its end.
func printJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}
