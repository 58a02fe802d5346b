package main

import (
	"context"

	"github.com/Khan/genqlient/graphql"
	"github.com/spf13/cobra"

	"github.com/brockdb/brock/graph/client/adminclient"
)

// adminPruneOptions are the flags of brock admin prune.
type adminPruneOptions struct {
	location    string
	rules       retentionFlags
	timezone    string
	dryRun      bool
	queued      queued
	credentials credentialFlags
}

func newAdminPrune() *cobra.Command {
	o := new(adminPruneOptions)
	cmd := &cobra.Command{
		Use:   "prune -l URI",
		Short: "Remove the backups that no rule keeps",
		Long: `Tells a running alpha to find the backups that no rule keeps and, with
--dry_run=false, to remove them, as brock prune does in a process of its own. The
result of the task says what became of each series and why.`,
		Example: `  brock admin prune -l /backups --keep_daily 7 --keep_monthly 12 --wait --output json`,
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), cmd) },
	}
	addLocation(cmd, &o.location)
	o.rules.add(cmd)
	cmd.Flags().StringVar(&o.timezone, "timezone", "", "`ZONE` in which days begin, such as Europe/Berlin; empty means UTC")
	cmd.Flags().BoolVar(&o.dryRun, "dry_run", true, "tell what would go, remove nothing")
	o.credentials.add(cmd, "", "--location")
	o.queued.add(cmd)
	completeNothing(cmd, "timezone")
	return cmd
}

func (o *adminPruneOptions) run(ctx context.Context, cmd *cobra.Command) error {
	return o.queued.run(ctx, cmd, func(admin graphql.Client) (*string, error) {
		r := o.rules
		answer, err := adminclient.PruneBackups(ctx, admin, adminclient.PruneBackupsInput{
			Location: o.location, KeepLast: orNil(r.last), KeepDaily: orNil(r.daily), KeepWeekly: orNil(r.weekly),
			KeepMonthly: orNil(r.monthly), OlderThan: orNil(r.olderThan), Timezone: orNil(o.timezone), DryRun: &o.dryRun,
			AccessKey: orNil(o.credentials.accessKey), SecretKey: orNil(o.credentials.secretKey),
			SessionToken: orNil(o.credentials.sessionToken), Anonymous: orNil(o.credentials.anonymous),
		})
		if err != nil {
			return nil, err
		}
		return answer.PruneBackups.TaskId, nil
	})
}
