package restore

import (
	"context"
	"path"

	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
)

// Reading says at a destination that the last backup of a chain, and what it
// stands on, is read from now on, so that no prune removes it, and looks whether
// it is still there: a prune removes the newest manifest of a series first. The
// mark must be released. Kinds: Locked, when the series is being removed;
// NotFound, when it has been.
func Reading(ctx context.Context, d destination.Destination, purpose string, newest *manifest.Manifest) (*destination.Mark, error) {
	mark, err := destination.MarkReading(ctx, d, destination.MarkOptions{Purpose: purpose, Series: []string{newest.BackupID}})
	if err != nil {
		return nil, err
	}
	if _, err := d.Stat(ctx, path.Join(newest.Path, manifest.FileName)); err != nil {
		if fault.Is(err, fault.NotFound) {
			err = fault.New(fault.NotFound, "read backup "+newest.Path, "it was removed this moment: %w", err).
				WithHint("choose another backup (brock lsbackup lists them)")
		}
		_ = mark.Release(context.WithoutCancel(ctx)) // it expires
		return nil, err
	}
	return mark, nil
}
