package main

import (
	"context"
	"strings"

	"github.com/Khan/genqlient/graphql"
	"github.com/spf13/cobra"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/graph/client/adminclient"
)

// adminRestoreOptions are the flags of brock admin restore.
type adminRestoreOptions struct {
	location    string
	backupID    string
	backupNum   int
	until       string
	selection   selectionFlags
	rename      []string
	overwrite   bool
	keyFile     string
	queued      queued
	credentials credentialFlags
}

func newAdminRestore() *cobra.Command {
	o := new(adminRestoreOptions)
	cmd := &cobra.Command{
		Use:   "restore -l URI",
		Short: "Restore collections into the database of a running alpha",
		Long: `Tells a running alpha to load collections of a backup into its database, while it
serves. A collection that exists is refused before anything is done, unless it is
renamed or replaced. All that is restored becomes visible in one commit, or nothing.`,
		Example: `  brock admin restore -l /backups --include cities --rename cities=cities_yesterday --wait
  brock admin restore -l /backups --until 2026-11-20T10:00:00Z --overwrite --alpha http://10.0.0.7:8080`,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), cmd) },
	}
	flags := cmd.Flags()
	addLocation(cmd, &o.location)
	addBackup(cmd, &o.backupID, &o.backupNum, "the series begun last", "the newest")
	addUntil(cmd, &o.until)
	o.selection.add(cmd)
	flags.StringSliceVar(&o.rename, "rename", nil, "other `NAMES` for restored collections: FROM=TO, each name or namespace/name")
	flags.BoolVar(&o.overwrite, "overwrite", false, "replace collections that exist")
	flags.StringVar(&o.keyFile, "encryption_key_file", "", "`FILE`, on the alpha's machine, with the key of the backups; empty means the alpha's keys")
	o.credentials.add(cmd, "", "--location")
	o.queued.add(cmd)
	completeNothing(cmd, "rename", "encryption_key_file")
	return cmd
}

func (o *adminRestoreOptions) run(ctx context.Context, cmd *cobra.Command) error {
	renames, err := o.renames()
	if err != nil {
		return err
	}
	return o.queued.run(ctx, cmd, func(admin graphql.Client) (*string, error) {
		answer, err := adminclient.Restore(ctx, admin, adminclient.RestoreInput{
			Location: o.location, BackupId: orNil(o.backupID), BackupNum: orNil(o.backupNum), Until: orNil(o.until),
			Include: o.selection.Include, Exclude: o.selection.Exclude, Namespaces: o.selection.Namespaces,
			Rename: renames, Overwrite: orNil(o.overwrite), EncryptionKeyFile: orNil(o.keyFile),
			AccessKey: orNil(o.credentials.accessKey), SecretKey: orNil(o.credentials.secretKey),
			SessionToken: orNil(o.credentials.sessionToken), Anonymous: orNil(o.credentials.anonymous),
		})
		if err != nil {
			return nil, err
		}
		return answer.Restore.TaskId, nil
	})
}

func (o *adminRestoreOptions) renames() (all []adminclient.RenameInput, err error) {
	for _, pair := range o.rename {
		from, to, found := strings.Cut(pair, "=")
		if !found || from == "" || to == "" {
			return nil, fault.New(fault.Usage, "use flag --rename", "%q is not FROM=TO", pair)
		}
		all = append(all, adminclient.RenameInput{From: from, To: to})
	}
	return all, nil
}
