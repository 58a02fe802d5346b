package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
	"github.com/brockdb/brock/worker/store"
)

// offlineBackup are the flags of brock backup --dir.
type offlineBackup struct {
	dir       string
	valueDir  string
	badgerKey string
	keys      keyFlags
	storage   storageFlags
}

// offlineFlags go with --dir alone.
var offlineFlags = [...]string{"value_dir", "badger_key_file"}

func (b *offlineBackup) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&b.dir, "dir", "", "`DIR` of a Badger v4 database that no process has open, to back up instead of an alpha")
	flags.StringVar(&b.valueDir, "value_dir", "", "`DIR` of its value log, where that is another")
	flags.StringVar(&b.badgerKey, "badger_key_file", "", "`FILE` with the key that Badger encrypts the directory with")
	b.keys.addWriting(cmd)
	b.storage.add(cmd)
	completeDirs(cmd, "dir", "value_dir")
	must(cmd.MarkFlagFilename("badger_key_file"))
}

// refuse refuses flags that without --dir would do nothing.
func (b *offlineBackup) refuse(cmd *cobra.Command) error {
	for _, name := range offlineFlags {
		if cmd.Flags().Changed(name) {
			return fault.New(fault.Usage, "use flag --"+name, "it goes with --dir").
				WithHint("leave it out, or name a directory with --dir")
		}
	}
	return nil
}

func (b *offlineBackup) run(ctx context.Context, cmd *cobra.Command, o *backupOptions) (err error) {
	if cmd.Flags().Changed("alpha") && os.Getenv(variable("alpha")) == "" {
		return fault.New(fault.Usage, "use flag --alpha", "--dir is given too").
			WithHint("give --dir for a directory that no process has open, --alpha for one that an alpha serves")
	}
	if !o.selection.IsZero() {
		return fault.New(fault.Usage, "back up "+b.dir, "--include, --exclude and --namespaces choose collections of an alpha that runs").
			WithHint("leave them out: a directory is backed up whole")
	}
	ring, err := b.keys.ring(ctx)
	if err != nil {
		return err
	}
	own := o.credentials
	own.anonymous = b.storage.anonymous // which goes before keys, as in a request
	d, err := b.storage.openAs(ctx, cmd, o.destination, own)
	if err != nil {
		return err
	}
	if err := notWithin(b.dir, d); err != nil {
		return err
	}
	options := backup.DirOptions{Dir: b.dir, ValueDir: b.valueDir}
	if b.badgerKey != "" {
		if options.AtRestKey, err = os.ReadFile(b.badgerKey); err != nil {
			return fault.Wrap(err, "read key file of Badger")
		}
	}
	source, ours, err := store.OpenOffline(options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	run := &backup.Backup{Source: source, Destination: d, ForceFull: true, Key: ring.First(), Owner: "brock backup of " + b.dir,
		Progress: new(backup.Progress)}
	if err := o.tuning.tuning().Apply(run); err != nil {
		return err
	}
	if ours {
		if run.Group, err = store.GroupOf(source.DB()); err != nil {
			return err
		}
	} else {
		say(cmd.ErrOrStderr(), "%s is not of an alpha: every key is backed up as it is\n", b.dir)
	}
	stop := startMeter(cmd.ErrOrStderr(), "backup", ofProgress(run.Progress))
	m, err := run.Run(ctx)
	stop()
	if m == nil {
		return err
	}
	return errors.Join(err, b.print(cmd, o, d, m))
}

func (b *offlineBackup) print(cmd *cobra.Command, o *backupOptions, d destination.Destination, m *manifest.Manifest) error {
	if o.queued.follow.output.value == "json" {
		return printJSON(cmd.OutOrStdout(), m)
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "backup %d of series %s: %s/%s, %d records, %s, stored %s\n",
		m.BackupNum, m.BackupID, d, m.Path, m.Records, byteCount(m.RawBytes), byteCount(m.StoredBytes))
	return err
}

// notWithin refuses a destination inside the directory that is backed up.
func notWithin(dir string, d destination.Destination) error {
	abs, err := filepath.Abs(dir)
	if err != nil || !filepath.IsAbs(d.String()) {
		return nil
	}
	if rel, err := filepath.Rel(abs, d.String()); err == nil && filepath.IsLocal(rel) {
		return fault.New(fault.Usage, "back up to "+d.String(), "it is inside the directory that is backed up").
			WithHint("name a directory elsewhere, best on another disk")
	}
	return nil
}
