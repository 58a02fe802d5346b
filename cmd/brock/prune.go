package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/prune"
)

// pruneOptions are the flags of brock prune.
type pruneOptions struct {
	location    string
	keepLast    int
	keepDaily   int
	keepWeekly  int
	keepMonthly int
	olderThan   days
	debrisAge   days
	timezone    string
	dryRun      bool
	output      choice
	storage     storageFlags
}

func newPrune() *cobra.Command {
	o := new(pruneOptions)
	cmd := &cobra.Command{
		Use:   "prune -l URI",
		Short: "Remove the backups that no rule keeps",
		Long: `Tells which backups at a location no rule keeps any more and, with --dry_run=false,
removes them: whole series, or the incrementals at the end of one.

Each rule keeps backups; what none keeps goes. --older_than keeps all that are
younger, and alone it lets all go that are older. Without any rule no backup goes.
Databases are counted each by itself. Never removed are the newest good series of a
database and what is newer, what is retained or being read, and what cannot be
judged. What backups that died have left goes after --debris_age.`,
		Example: `  brock prune -l /backups --keep_daily 7 --keep_weekly 4 --keep_monthly 12
  brock prune -l /backups --older_than 30d --dry_run=false`,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), cmd) },
	}
	flags := cmd.Flags()
	addLocation(cmd, &o.location)
	flags.IntVar(&o.keepLast, "keep_last", 0, "keep the newest `N` backups")
	flags.IntVar(&o.keepDaily, "keep_daily", 0, "keep the newest backup of each of the last `N` days that have one")
	flags.IntVar(&o.keepWeekly, "keep_weekly", 0, "keep the newest backup of each of the last `N` weeks that have one")
	flags.IntVar(&o.keepMonthly, "keep_monthly", 0, "keep the newest backup of each of the last `N` months that have one")
	flags.Var(&o.olderThan, "older_than", "keep everything younger than this `AGE`, such as 30d")
	flags.StringVar(&o.timezone, "timezone", "UTC", "`ZONE` in which days begin, such as Europe/Berlin")
	o.debrisAge = days(prune.DefaultDebrisAge)
	flags.Var(&o.debrisAge, "debris_age", "`AGE` at which a folder without a manifest goes")
	flags.BoolVar(&o.dryRun, "dry_run", true, "tell what would go, remove nothing")
	addChoice(cmd, &o.output, "output", "form of the report", "text", "json")
	o.storage.addReading(cmd)
	completeNothing(cmd, "keep_last", "keep_daily", "keep_weekly", "keep_monthly", "older_than", "timezone", "debris_age")
	return cmd
}

func (o *pruneOptions) run(ctx context.Context, cmd *cobra.Command) error {
	zone, err := time.LoadLocation(o.timezone)
	if err != nil {
		return fault.New(fault.Usage, "use flag --timezone", "%q is no time zone", o.timezone).
			WithHint("name one of the IANA database, such as Europe/Berlin")
	}
	if o.debrisAge == 0 {
		return fault.New(fault.Usage, "use flag --debris_age", "it is 0: a backup that is under way would go")
	}
	d, err := o.storage.open(ctx, cmd, o.location)
	if err != nil {
		return err
	}
	p := &prune.Prune{
		Destination: d, Remove: !o.dryRun, DebrisAge: time.Duration(o.debrisAge), Progress: new(backup.Progress),
		Policy: prune.Policy{
			KeepLast: o.keepLast, KeepDaily: o.keepDaily, KeepWeekly: o.keepWeekly, KeepMonthly: o.keepMonthly,
			OlderThan: time.Duration(o.olderThan), Location: zone,
		},
	}
	stop := startMeter(cmd.ErrOrStderr(), "prune", ofProgress(p.Progress))
	result, err := p.Run(ctx)
	stop()
	if result == nil {
		return err
	}
	return errors.Join(err, o.print(cmd.OutOrStdout(), cmd.ErrOrStderr(), result))
}

func (o *pruneOptions) print(stdout, stderr io.Writer, r *prune.Result) error {
	if o.output.value == "json" {
		return printJSON(stdout, r)
	}
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	say(table, "SERIES\tACTION\tBACKUPS\tGO\tNEWEST\tSTORED\tREASON\n")
	for _, d := range r.Series {
		say(table, "%s\t%s\t%d\t%d\t%s\t%s\t%s\n", d.BackupID, d.Action, d.Backups, len(d.Gone),
			d.Newest.UTC().Format(time.DateTime), byteCount(d.Bytes), d.Reason)
	}
	for _, d := range r.Debris {
		say(table, "%s\t%s\t\t\t\t\t%s\n", d.Path, d.Action, d.Reason)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if _, err := io.WriteString(stdout, text.String()); err != nil {
		return err
	}
	for _, damaged := range r.Damaged {
		say(stderr, "left alone: %s\n", damaged)
	}
	if r.DryRun {
		say(stderr, "%d backups, %s, would go; --dry_run=false removes them\n", r.Backups, byteCount(r.Bytes))
	} else {
		say(stderr, "%d backups, %s, removed\n", r.Backups, byteCount(r.Bytes))
	}
	return nil
}
