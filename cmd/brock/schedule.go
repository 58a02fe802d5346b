package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/brockdb/brock/graph/client/adminclient"
)

func newSchedule() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "schedule",
		Short: "Make, list and end backups at set times",
		Long: `Tells a running alpha to make backups at set times, each in a task of its own. What
they need to reach their destination comes from the alpha's environment.`,
	}
	cmd.AddCommand(newScheduleCreate(), newScheduleList(), newScheduleDelete())
	return cmd
}

// scheduleCreateOptions are the flags of brock schedule create.
type scheduleCreateOptions struct {
	cron        string
	timezone    string
	destination string
	selection   selectionFlags
	fullEvery   int
	retention   retentionFlags
	jitter      time.Duration
	remote      remoteFlags
	output      choice
}

func newScheduleCreate() *cobra.Command {
	o := new(scheduleCreateOptions)
	cmd := &cobra.Command{
		Use:   "create NAME --cron TIMES -d URI",
		Short: "Make backups at set times from now on",
		Long: `Makes backups at set times from now on. They never overlap; of the times that pass
while the alpha is down one is made up for. With rules about what to keep, the rest is
pruned after each backup that succeeds.`,
		Example: `  brock schedule create nightly --cron '30 2 * * *' -d s3:///bucket/backups --full_every 7
  brock schedule create hourly --cron @hourly -d /backups --keep_last 48 --keep_daily 14`,
		Args: oneArgument("NAME of the schedule"),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), cmd, args[0]) },
	}
	flags := cmd.Flags()
	flags.StringVar(&o.cron, "cron", "", "`TIMES`: minute, hour, day of month, month and weekday, or @daily, @hourly, @every 6h")
	flags.StringVarP(&o.destination, "destination", "d", "", "`URI` to back up to: an absolute path, or file, s3, minio, gs or azblob://…")
	flags.StringVar(&o.timezone, "timezone", "", "`ZONE` of the times, such as Europe/Berlin; empty means UTC")
	o.selection.add(cmd)
	flags.IntVar(&o.fullEvery, "full_every", 0, "`N` backups that a series has before a full one begins the next; 0 means any number")
	o.retention.add(cmd)
	flags.DurationVar(&o.jitter, "jitter", 30*time.Second, "`TIME` within which a backup begins after its time, so that not all begin at once")
	addChoice(cmd, &o.output, "output", "form of the schedule", "text", "json")
	o.remote.add(cmd)
	require(cmd, "cron", "destination")
	completeNothing(cmd, "cron", "destination", "timezone", "full_every", "jitter")
	return cmd
}

func (o *scheduleCreateOptions) run(ctx context.Context, cmd *cobra.Command, name string) error {
	admin, closeAlpha, err := o.remote.admin(ctx)
	if err != nil {
		return err
	}
	defer closeAlpha()
	jitter := int(o.jitter / time.Second)
	answer, err := adminclient.CreateSchedule(ctx, admin, adminclient.CreateScheduleInput{
		Name: name, Cron: o.cron, Timezone: orNil(o.timezone), Destination: o.destination,
		Include: o.selection.Include, Exclude: o.selection.Exclude, Namespaces: o.selection.Namespaces,
		FullEvery: orNil(o.fullEvery), Retention: o.retention.input(), JitterSeconds: &jitter,
	})
	if err != nil {
		return err
	}
	s := newScheduleJSON(answer.CreateSchedule.Schedule)
	if o.output.value == "json" {
		return printJSON(cmd.OutOrStdout(), s)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "schedule %s: the first backup at %s\n", s.Name, moments(s.NextRun))
	return err
}

// retentionFlags are the rules about what to keep.
type retentionFlags struct {
	last, daily, weekly, monthly int
	olderThan                    string
}

func (r *retentionFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.IntVar(&r.last, "keep_last", 0, "keep the newest `N` backups")
	flags.IntVar(&r.daily, "keep_daily", 0, "keep the newest backup of each of the last `N` days that have one")
	flags.IntVar(&r.weekly, "keep_weekly", 0, "keep the newest backup of each of the last `N` weeks that have one")
	flags.IntVar(&r.monthly, "keep_monthly", 0, "keep the newest backup of each of the last `N` months that have one")
	flags.StringVar(&r.olderThan, "older_than", "", "keep everything younger than this `AGE`, such as 30d")
	completeNothing(cmd, "keep_last", "keep_daily", "keep_weekly", "keep_monthly", "older_than")
}

// input is nil when there is no rule.
func (r *retentionFlags) input() *adminclient.RetentionInput {
	if *r == (retentionFlags{}) {
		return nil
	}
	return &adminclient.RetentionInput{KeepLast: orNil(r.last), KeepDaily: orNil(r.daily), KeepWeekly: orNil(r.weekly),
		KeepMonthly: orNil(r.monthly), OlderThan: orNil(r.olderThan)}
}

// scheduleListOptions are the flags of brock schedule list.
type scheduleListOptions struct {
	remote remoteFlags
	output choice
}

func newScheduleList() *cobra.Command {
	o := new(scheduleListOptions)
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the schedules of a running alpha",
		Long:    "Lists the schedules of an alpha: when they run next, and what the last run came to.",
		Example: "  brock schedule list",
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), cmd) },
	}
	addChoice(cmd, &o.output, "output", "form of the list", "text", "json")
	o.remote.add(cmd)
	return cmd
}

func (o *scheduleListOptions) run(ctx context.Context, cmd *cobra.Command) error {
	admin, closeAlpha, err := o.remote.admin(ctx)
	if err != nil {
		return err
	}
	defer closeAlpha()
	answer, err := adminclient.Schedules(ctx, admin)
	if err != nil {
		return err
	}
	all := make([]scheduleJSON, len(answer.Schedules))
	for i := range answer.Schedules {
		all[i] = newScheduleJSON(&answer.Schedules[i])
	}
	if o.output.value == "json" {
		return printJSON(cmd.OutOrStdout(), all)
	}
	if len(all) == 0 {
		say(cmd.ErrOrStderr(), "there are no schedules at %s\n", o.remote.alpha)
		return nil
	}
	return printSchedules(cmd.OutOrStdout(), all)
}

func printSchedules(w io.Writer, all []scheduleJSON) error {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	say(table, "NAME\tTIMES\tZONE\tDESTINATION\tNEXT\tLAST\tCAME TO\n")
	for _, s := range all {
		say(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", s.Name, s.Cron, s.Timezone, s.Destination, moments(s.NextRun), moments(s.LastRun),
			orDash(strings.TrimSpace(s.LastStatus+" "+s.LastMessage)))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// moments is a moment for people, in UTC.
func moments(at *time.Time) string {
	if at == nil {
		return "-"
	}
	return at.UTC().Format(time.DateTime)
}

// scheduleDeleteOptions are the flags of brock schedule delete.
type scheduleDeleteOptions struct {
	remote remoteFlags
}

func newScheduleDelete() *cobra.Command {
	o := new(scheduleDeleteOptions)
	cmd := &cobra.Command{
		Use:               "delete NAME",
		Short:             "End a schedule",
		Long:              "Ends a schedule. A backup of it that runs goes on.",
		Example:           "  brock schedule delete nightly",
		Args:              oneArgument("NAME of the schedule"),
		ValidArgsFunction: o.complete,
		RunE:              func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args[0]) },
	}
	o.remote.add(cmd)
	return cmd
}

func (o *scheduleDeleteOptions) run(ctx context.Context, name string) error {
	admin, closeAlpha, err := o.remote.admin(ctx)
	if err != nil {
		return err
	}
	defer closeAlpha()
	_, err = adminclient.DeleteSchedule(ctx, admin, name)
	return err
}

func (o *scheduleDeleteOptions) complete(cmd *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
	admin, closeAlpha, err := o.remote.forCompletion(cmd)
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer closeAlpha()
	if answer, err := adminclient.Schedules(cmd.Context(), admin); err == nil {
		for _, s := range answer.Schedules {
			names = append(names, s.Name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
