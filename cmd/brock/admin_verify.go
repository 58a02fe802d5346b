package main

import (
	"context"
	"strings"

	"github.com/Khan/genqlient/graphql"
	"github.com/spf13/cobra"

	"github.com/brockdb/brock/graph/client/adminclient"
)

// adminVerifyOptions are the flags of brock admin verify.
type adminVerifyOptions struct {
	location    string
	backupID    string
	backupNum   int
	level       choice
	keyFile     string
	queued      queued
	credentials credentialFlags
}

func newAdminVerify() *cobra.Command {
	o := new(adminVerifyOptions)
	cmd := &cobra.Command{
		Use:   "verify -l URI",
		Short: "Prove that the backups at a location are good",
		Long: `Tells a running alpha to verify all series at a location, or one, as brock verify does
in a process of its own. The task fails when something is damaged.`,
		Example: `  brock admin verify -l /backups --level full --wait`,
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), cmd) },
	}
	addLocation(cmd, &o.location)
	addBackup(cmd, &o.backupID, &o.backupNum, "all series", "all")
	addChoice(cmd, &o.level, "level", "how thorough", levels()...)
	cmd.Flags().StringVar(&o.keyFile, "encryption_key_file", "", "`FILE`, on the alpha's machine, with the key of the backups; empty means the alpha's keys")
	o.credentials.add(cmd, "", "--location")
	o.queued.add(cmd)
	completeNothing(cmd, "encryption_key_file")
	return cmd
}

func (o *adminVerifyOptions) run(ctx context.Context, cmd *cobra.Command) error {
	level := adminclient.VerifyLevel(strings.ToUpper(o.level.value))
	return o.queued.run(ctx, cmd, func(admin graphql.Client) (*string, error) {
		answer, err := adminclient.VerifyBackup(ctx, admin, adminclient.VerifyBackupInput{
			Location: o.location, BackupId: orNil(o.backupID), BackupNum: orNil(o.backupNum), Level: &level,
			EncryptionKeyFile: orNil(o.keyFile),
			AccessKey:         orNil(o.credentials.accessKey), SecretKey: orNil(o.credentials.secretKey),
			SessionToken: orNil(o.credentials.sessionToken), Anonymous: orNil(o.credentials.anonymous),
		})
		if err != nil {
			return nil, err
		}
		return answer.VerifyBackup.TaskId, nil
	})
}
