package prune

import (
	"context"
	"errors"
	"fmt"
	"path"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
)

// removeSeries removes the backups of a series that go, the newest first, and
// says in d what it came to. A series that is read or retained stays as it is.
func (p *Prune) removeSeries(ctx context.Context, d *Decision) (err error) {
	d.Gone = d.Gone[:0]
	mark, err := destination.MarkRemoving(ctx, p.Destination, destination.MarkOptions{
		Owner: p.Owner, Series: []string{d.BackupID}, Now: p.Now,
	})
	if fault.Is(err, fault.Locked) {
		d.Action, d.Reason = Keep, fmt.Sprintf("it would go, but: %v", err)
		return nil
	}
	if err != nil {
		d.Action, d.Reason = Keep, fmt.Sprintf("it would go, but: %v", err)
		return err
	}
	defer func() { err = errors.Join(err, mark.Release(context.WithoutCancel(ctx))) }()
	for _, m := range d.members {
		if err := backup.Remove(ctx, p.Destination, m.Path); err != nil {
			p.stopped(ctx, d, m, err)
			if isRetained(err) {
				return nil
			}
			return err
		}
		d.Gone = append(d.Gone, m.Path)
		p.Progress.Add(m.Records, m.RawBytes, m.StoredBytes)
	}
	return nil
}

// stopped says in d how far the removal of a series got when that of m failed.
func (p *Prune) stopped(ctx context.Context, d *Decision, m manifest.Stored, cause error) {
	_, err := p.Destination.Stat(context.WithoutCancel(ctx), path.Join(m.Path, manifest.FileName))
	if fault.Is(err, fault.NotFound) {
		d.Gone = append(d.Gone, m.Path) // what is left of it is debris
	}
	d.Reason = fmt.Sprintf("it would go, but: %v", cause)
	if len(d.Gone) == 0 {
		d.Action = Keep
	} else if len(d.Gone) < d.Backups {
		d.Action = Trim
	}
}

// isRetained reports whether the destination does not give an object back yet. It
// is the newest manifest of a series that is asked for first, and the one that is
// retained longest: where it is, the series stays as it is.
func isRetained(err error) bool {
	var retained *destination.RetainedError
	return errors.As(err, &retained)
}

// removeDebris removes a folder without a manifest.
func (p *Prune) removeDebris(ctx context.Context, d *Debris) error {
	_, err := p.Destination.Stat(ctx, path.Join(d.Path, manifest.FileName))
	switch {
	case err == nil:
		return fault.New(fault.Locked, "remove folder "+d.Path, "a backup was stored there this moment").
			WithHint("somebody else writes there; prune again")
	case !fault.Is(err, fault.NotFound):
		return err
	}
	if err := backup.Remove(ctx, p.Destination, d.Path); err != nil {
		d.Action, d.Reason = Keep, fmt.Sprintf("it would go, but: %v", err)
		if isRetained(err) {
			return nil
		}
		return err
	}
	return nil
}
