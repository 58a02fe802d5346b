package restore

import (
	"context"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/manifest"
	"github.com/brockdb/brock/ee"
)

// Chain is ChainAt for a series and a number.
func Chain(ctx context.Context, d destination.Destination, backupID string, num int, keys ee.KeyRing) ([]manifest.Stored, error) {
	return ChainAt(ctx, d, Point{BackupID: backupID, BackupNum: num}, keys)
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
