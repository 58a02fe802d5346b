package main

import (
	"context"

	"github.com/Khan/genqlient/graphql"
	"github.com/spf13/cobra"

	"github.com/brockdb/brock/graph/client/adminclient"
)

// adminCopyOptions are the flags of brock admin copy.
type adminCopyOptions struct {
	location    string
	destination string
	backupID    string
	all         bool
	keyFile     string
	from, to    credentialFlags
	queued      queued
}

func newAdminCopy() *cobra.Command {
	o := new(adminCopyOptions)
	cmd := &cobra.Command{
		Use:   "copy -l URI -d URI",
		Short: "Copy a series of backups to another place",
		Long: `Tells a running alpha to copy a series of backups, or all, as brock copy does in a
process of its own. What is there already is not sent again.`,
		Example: `  brock admin copy -l /backups -d s3:///bucket/backups --wait`,
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), cmd) },
	}
	flags := cmd.Flags()
	addLocation(cmd, &o.location)
	flags.StringVarP(&o.destination, "destination", "d", "", "`URI` to copy to")
	flags.StringVar(&o.backupID, "backup_id", "", "`ID` of the series; empty means the series begun last")
	flags.BoolVar(&o.all, "all", false, "copy all series")
	flags.StringVar(&o.keyFile, "encryption_key_file", "", "`FILE`, on the alpha's machine, with the key of the backups; empty means the alpha's keys")
	o.from.add(cmd, "from_", "--location")
	o.to.add(cmd, "to_", "--destination")
	o.queued.add(cmd)
	require(cmd, "destination")
	completeNothing(cmd, "destination", "backup_id", "encryption_key_file")
	return cmd
}

func (o *adminCopyOptions) run(ctx context.Context, cmd *cobra.Command) error {
	return o.queued.run(ctx, cmd, func(admin graphql.Client) (*string, error) {
		answer, err := adminclient.CopyBackups(ctx, admin, adminclient.CopyBackupsInput{
			Location: o.location, Destination: o.destination, BackupId: orNil(o.backupID), All: orNil(o.all),
			EncryptionKeyFile: orNil(o.keyFile),
			AccessKey:         orNil(o.from.accessKey), SecretKey: orNil(o.from.secretKey),
			SessionToken: orNil(o.from.sessionToken), Anonymous: orNil(o.from.anonymous),
			DestinationAccessKey: orNil(o.to.accessKey), DestinationSecretKey: orNil(o.to.secretKey),
			DestinationSessionToken: orNil(o.to.sessionToken), DestinationAnonymous: orNil(o.to.anonymous),
		})
		if err != nil {
			return nil, err
		}
		return answer.CopyBackups.TaskId, nil
	})
}
