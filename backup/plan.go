package backup

import (
	"context"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
	"github.com/brockdb/brock/ee"
)

// plan is what the next backup at a destination will be.
type plan struct {
	parent *manifest.Stored // nil for a full
	reason string           // why a full
	newest string           // newest folder at the destination, "" for none
}

// since is the version above which the backup reads.
func (p *plan) since() uint64 {
	if p.parent == nil {
		return 0
	}
	return p.parent.ReadTs
}

// plan decides between full and incremental. It refuses what does not fit the
// series, and takes a full where an incremental could lose something.
func (b *Backup) plan(ctx context.Context, l *Listing) (*plan, error) {
	p := &plan{newest: newestFolder(l)}
	switch {
	case b.ForceFull:
		p.reason = "forceFull was asked for"
		return p, nil
	case len(l.Series) == 0 && len(l.Damaged) == 0:
		if err := b.missing(); err != nil {
			return nil, err
		}
		p.reason = "there was no backup at this destination"
		return p, nil
	}
	if err := b.damagedNewest(l); err != nil {
		return nil, err
	}
	series := &l.Series[len(l.Series)-1]
	if p.reason = b.anotherSelection(series); p.reason != "" {
		return p, nil
	}
	if err := b.fits(series); err != nil {
		return nil, err
	}
	parent := series.Newest()
	reason, err := b.Source.Extendable(ctx, b.head(parent.Manifest, parent.Digest))
	if err != nil {
		return nil, fault.Wrap(err, "extend series %s", series.BackupID)
	}
	if reason != "" {
		p.reason = reason
		return p, nil
	}
	p.parent = &parent
	return p, nil
}

// missing refuses a destination that has lost the backups it should have.
func (b *Backup) missing() error {
	r, ok := b.Source.(Rememberer)
	if !ok {
		return nil
	}
	at := b.Destination.String()
	id := r.Remembers(at)
	if id == "" {
		return nil
	}
	return fault.New(fault.Mixed, "back up to "+at, "no backup is there, but series %s of this database should be", id).
		WithHint("is the file system mounted, and the right bucket meant? If its backups were removed, %s", forceFullHint)
}

const forceFullHint = "start a new series with forceFull: true (--force_full)"

// damagedNewest refuses to extend when a damaged manifest may belong to the
// newest series.
func (b *Backup) damagedNewest(l *Listing) error {
	for _, d := range l.Damaged {
		if len(l.Series) == 0 || d.Path > l.Series[len(l.Series)-1].Members[0].Path {
			err := &fault.Error{Kind: fault.Corrupt, Op: "extend the newest series at " + b.Destination.String(), Err: d.Err}
			return err.WithHint("repair or remove folder %s, or %s", d.Path, forceFullHint)
		}
	}
	return nil
}

// fits refuses a series that is broken, or made with other settings or by
// another database.
func (b *Backup) fits(series *manifest.Series) error {
	op := "extend series " + series.BackupID + " at " + b.Destination.String()
	chain, err := series.Chain(0)
	if err != nil {
		e := &fault.Error{Kind: fault.KindOf(err), Op: op, Err: err}
		return e.WithHint("%s", forceFullHint)
	}
	newest := chain[len(chain)-1]
	mixed := func(format string, args ...any) error {
		return fault.New(fault.Mixed, op, format, args...).WithHint("%s", forceFullHint)
	}
	switch {
	case newest.DBID != b.Source.Identity():
		return mixed("it is of another database (db_id %s, this one is %s)", newest.DBID, b.Source.Identity())
	case newest.Encrypted && b.Key.IsZero():
		return mixed("it is encrypted (key id %s) and this backup would not be", newest.KeyID)
	case !newest.Encrypted && !b.Key.IsZero():
		return mixed("it is not encrypted and this backup would be")
	case newest.KeyID != b.Key.ID():
		return mixed("it is encrypted with key %s and this backup would be with key %s", newest.KeyID, b.Key.ID())
	case newest.AllVersions != b.AllVersions:
		return mixed("of it and this backup, one holds all versions and the other does not")
	case len(newest.Groups) != 1 || newest.Groups[b.Group] == nil:
		return mixed("it is not of group %d alone", b.Group)
	}
	for _, m := range chain {
		if _, err := m.CheckKey(m.Data, ee.NewKeyRing(b.Key)); err != nil {
			return fault.Wrap(err, "%s", op)
		}
	}
	return nil
}

func newestFolder(l *Listing) string {
	newest := ""
	for _, s := range l.Series {
		for _, m := range s.Members {
			newest = max(newest, m.Path)
		}
	}
	for _, d := range l.Damaged {
		newest = max(newest, d.Path)
	}
	for _, u := range l.Unfinished {
		newest = max(newest, u)
	}
	return newest
}
