package restore

import (
	"context"
	"fmt"
	"time"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
	"github.com/brockdb/brock/ee"
)

// Point says which backup is meant: the last of the chain that is restored.
type Point struct {
	BackupID  string // "" means the series begun last; with Until, any
	BackupNum int    // 0 means the newest of the series
	// Until, where set, means the newest backup that was begun at or before it,
	// and so shows nothing that came later than the moment it took to begin.
	// It takes the place of BackupNum.
	Until time.Time
	// Expect is what is known of the series from elsewhere.
	Expect Expect
}

// ParseUntil reads the moment of a Point.
func ParseUntil(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, fault.New(fault.Usage, "restore until a moment", "until is not a time of RFC 3339").
			WithHint("write it like 2026-11-20T10:00:00Z, or with a zone: 2026-11-20T10:00:00+01:00")
	}
	return t, nil
}

// ChainAt finds the backup that is meant and returns the backups of its series
// up to it, checked as one unbroken history under one key of the ring.
//
// A damaged manifest could be of any series. It is refused unless BackupID and
// BackupNum say what is wanted without it, or it is of a later time than Until.
func ChainAt(ctx context.Context, d destination.Destination, p Point, keys ee.KeyRing) ([]manifest.Stored, error) {
	if !p.Until.IsZero() && p.BackupNum != 0 {
		return nil, fault.New(fault.Usage, "choose a backup at "+d.String(), "a number and a moment (until) were given").
			WithHint("give one of the two")
	}
	listing, err := backup.List(ctx, d)
	if err != nil {
		return nil, err
	}
	if err := p.checkDamaged(d, append(listing.Damaged, altered(listing, keys)...)); err != nil {
		return nil, err
	}
	if !p.Until.IsZero() && len(listing.Series) > 0 {
		if p, err = p.newest(listing.Series, d.String()); err != nil {
			return nil, err
		}
	}
	series, err := manifest.Find(listing.Series, p.BackupID, d.String())
	if err != nil {
		return nil, err
	}
	if err := p.Expect.of(series); err != nil {
		return nil, err
	}
	chain, err := series.Chain(p.BackupNum)
	if err == nil && !p.Expect.IsZero() {
		_, err = series.Chain(0) // what is expected may come after the number
	}
	if err != nil {
		return nil, err
	}
	for _, m := range chain {
		if _, err := m.CheckKey(m.Data, keys); err != nil {
			return nil, err
		}
	}
	return chain, nil
}

// checkDamaged refuses to choose among backups of which a damaged one may be the
// one that is meant.
func (p Point) checkDamaged(d destination.Destination, damaged []backup.Damaged) error {
	if p.BackupID != "" && p.BackupNum != 0 {
		return nil
	}
	for _, one := range damaged {
		if begun, ok := manifest.FolderTime(one.Path); ok && !p.Until.IsZero() && begun.After(p.Until) {
			continue
		}
		e := &fault.Error{Kind: fault.KindOf(one.Err), Op: "choose a backup at " + d.String(), Err: one.Err}
		return e.WithHint("it may be of any series; say which backup you want without it: --backup_id and --backup_num (brock lsbackup lists them)")
	}
	return nil
}

// newest names the newest backup that was begun at or before p.Until.
func (p Point) newest(all []manifest.Series, location string) (Point, error) {
	var found, oldest *manifest.Stored
	for i := range all {
		if p.BackupID != "" && all[i].BackupID != p.BackupID {
			continue
		}
		for j := range all[i].Members {
			m := &all[i].Members[j]
			if oldest == nil || m.Path < oldest.Path {
				oldest = m
			}
			if !m.CreatedAt.After(p.Until) && (found == nil || m.Path > found.Path) {
				found = m
			}
		}
	}
	switch {
	case oldest == nil:
		return Point{BackupID: p.BackupID}, nil // Find says that there is none of this id
	case found == nil:
		return p, fault.New(fault.NotFound, "choose a backup at "+location, "none was begun at or before %s", p.Until.Format(time.RFC3339)).
			WithHint("%s", fmt.Sprintf("the oldest there was begun at %s", oldest.CreatedAt.Format(time.RFC3339)))
	}
	return Point{BackupID: found.BackupID, BackupNum: found.BackupNum}, nil
}
