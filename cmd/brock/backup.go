package main

import (
	"context"

	"github.com/Khan/genqlient/graphql"
	"github.com/spf13/cobra"

	"github.com/brockdb/brock/graph/client/adminclient"
)

// backupOptions are the flags of brock backup.
type backupOptions struct {
	destination string
	forceFull   bool
	selection   selectionFlags
	tuning      tuningFlags
	credentials credentialFlags
	queued      queued
	offline     offlineBackup
}

func newBackup() *cobra.Command {
	o := new(backupOptions)
	cmd := &cobra.Command{
		Use:   "backup -d URI",
		Short: "Back up a running alpha",
		Long: `Tells a running alpha to back up to a destination, and prints the id of the task that
does it. The first backup at a destination is full, the next ones are incremental.
Paths are those of the alpha's machine, and so are credentials unless they are given.
With --include, --exclude or --namespaces the backup is partial, and forms a series of
its own.

With --wait it shows how far the backup is until it is over, and fails when that does;
an interrupt cancels the backup then.

With --dir it backs up a Badger v4 directory that no process has open, of an alpha or
of any other program, itself: no alpha is asked. Nothing in the directory changes. The
backup is always full and begins a series, because a directory cannot prove that no
delete has been lost.`,
		Example: `  brock backup -d /backups --wait
  brock backup -d /backups/geo --include 'geo/*' --wait
  brock backup -d /backups --force_full --alpha http://10.0.0.7:8080
  brock backup --dir /var/lib/app/badger -d /backups --badger_key_file atrest.key`,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), cmd) },
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.destination, "destination", "d", "", "`URI` to back up to: an absolute path, or file, s3, minio, gs or azblob://…")
	flags.BoolVar(&o.forceFull, "force_full", false, "begin a new series with a full backup")
	o.selection.add(cmd)
	o.tuning.add(cmd)
	o.credentials.addKeys(cmd, "", "--destination")
	o.queued.add(cmd)
	o.offline.add(cmd)
	require(cmd, "destination")
	completeDirs(cmd, "destination")
	return cmd
}

func (o *backupOptions) run(ctx context.Context, cmd *cobra.Command) error {
	if o.offline.dir != "" {
		return o.offline.run(ctx, cmd, o)
	}
	if err := o.offline.refuse(cmd); err != nil {
		return err
	}
	return o.queued.run(ctx, cmd, func(admin graphql.Client) (*string, error) {
		answer, err := adminclient.Backup(ctx, admin, adminclient.BackupInput{
			Destination: o.destination, ForceFull: orNil(o.forceFull),
			Include: o.selection.Include, Exclude: o.selection.Exclude, Namespaces: o.selection.Namespaces,
			CpuPercentage: orNil(o.tuning.cpuPercentage), ChunkSizeMB: orNil(o.tuning.chunkSizeMB), CompressionLevel: o.tuning.level(),
			AccessKey: orNil(o.credentials.accessKey), SecretKey: orNil(o.credentials.secretKey),
			SessionToken: orNil(o.credentials.sessionToken), Anonymous: orNil(o.offline.storage.anonymous),
		})
		if err != nil {
			return nil, err
		}
		return answer.Backup.TaskId, nil
	})
}
