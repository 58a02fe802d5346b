package backup

import (
	"context"
	"path"

	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
)

// Reading says at a destination that backups, each the last of its chain, and
// what they stand on, are read from now on, so that no prune removes them, and
// looks whether they are still there: a prune removes the newest manifest of a
// series first. The mark must be released. Kinds: Locked, when a series is being
// removed; NotFound, when one has been.
func Reading(ctx context.Context, d destination.Destination, purpose string, newest ...*manifest.Manifest) (*destination.Mark, error) {
	o := destination.MarkOptions{Purpose: purpose}
	for _, m := range newest {
		o.Series = append(o.Series, m.BackupID)
	}
	mark, err := destination.MarkReading(ctx, d, o)
	if err != nil {
		return nil, err
	}
	for _, m := range newest {
		if _, err := d.Stat(ctx, path.Join(m.Path, manifest.FileName)); err != nil {
			if fault.Is(err, fault.NotFound) {
				err = fault.New(fault.NotFound, "read backup "+m.Path, "it was removed this moment: %w", err).
					WithHint("choose another backup (brock lsbackup lists them)")
			}
			_ = mark.Release(context.WithoutCancel(ctx)) // it expires
			return nil, err
		}
	}
	return mark, nil
}
