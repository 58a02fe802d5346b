package restore

import (
	"context"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
	"github.com/brockdb/brock/ee"
)

// Chain finds a series and returns its backups 1 to num, checked as one
// unbroken history under one key of the ring. An empty backupID means the series begun
// last, num 0 its newest backup.
//
// A damaged manifest could be of any series. It is refused unless both backupID
// and num say what is wanted without it.
func Chain(ctx context.Context, d destination.Destination, backupID string, num int, keys ee.KeyRing) ([]manifest.Stored, error) {
	listing, err := backup.List(ctx, d)
	if err != nil {
		return nil, err
	}
	damaged := append(listing.Damaged, altered(listing, keys)...)
	if len(damaged) > 0 && (backupID == "" || num == 0) {
		first := damaged[0]
		e := &fault.Error{Kind: fault.KindOf(first.Err), Op: "choose a backup at " + d.String(), Err: first.Err}
		return nil, e.WithHint("it may be of any series; say which backup you want without it: --backup_id and --backup_num (brock lsbackup lists them)")
	}
	series, err := manifest.Find(listing.Series, backupID, d.String())
	if err != nil {
		return nil, err
	}
	chain, err := series.Chain(num)
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

// altered returns the manifests that were made with a key of the ring and are
// not what was written: what series they belong to cannot be trusted either.
func altered(l *backup.Listing, keys ee.KeyRing) (out []backup.Damaged) {
	for i := range l.Series {
		for _, m := range l.Series[i].Members {
			if _, ours := keys.Find(m.KeyID); !ours {
				continue
			}
			if _, err := m.CheckKey(m.Data, keys); err != nil {
				out = append(out, backup.Damaged{Path: m.Path, Err: err})
			}
		}
	}
	return out
}
