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
// unbroken history under one key. An empty backupID means the series begun
// last, num 0 its newest backup.
//
// A damaged manifest could be of any series. It is refused unless both backupID
// and num say what is wanted without it.
func Chain(ctx context.Context, d destination.Destination, backupID string, num int, key ee.Key) ([]manifest.Stored, error) {
	listing, err := backup.List(ctx, d)
	if err != nil {
		return nil, err
	}
	if len(listing.Damaged) > 0 && (backupID == "" || num == 0) {
		first := listing.Damaged[0]
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
		if err := m.CheckKey(m.Data, key); err != nil {
			return nil, err
		}
	}
	return chain, nil
}
