package restore

import (
	"context"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/archive"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/ee"
)

// Reader reads what a restore would write, for a program that stores it itself:
// into a database that is in use.
type Reader struct {
	Source destination.Destination
	Point
	Keys     ee.KeyRing
	Progress *backup.Progress // may be nil
}

// Plan reads and checks the chain, the catalog included. The schema chooses what
// is read.
func (r *Reader) Plan(ctx context.Context, newSchema func() Schema) (*Plan, error) {
	p, err := r.restore(newSchema).plan(ctx)
	if err != nil || newSchema == nil {
		return p, err
	}
	for i := range p.Groups {
		if p.Groups[i].schema == nil {
			return nil, fault.New(fault.Mixed, "read collections of series "+p.BackupID, "it is of another program, which has none that brock knows").
				WithHint("restore it into a directory of its own: brock restore")
		}
	}
	return p, nil
}

func (r *Reader) restore(newSchema func() Schema) *Restore {
	return &Restore{Source: r.Source, BackupID: r.BackupID, BackupNum: r.BackupNum, Until: r.Until, Keys: r.Keys,
		NewSchema: newSchema, Progress: r.Progress}
}

// Read calls emit for the chosen records of a group of the plan, in key order; a
// record is valid until emit returns. It returns nil only when all that the
// manifests tell was there. Metadata is not emitted unless all is read. Memory is bounded by a chunk
// of each backup of the chain.
func (r *Reader) Read(ctx context.Context, p *Plan, group uint32, emit func(*archive.Record) error) error {
	for i := range p.Groups {
		if g := &p.Groups[i]; g.Group == group {
			r.Progress.Expect(g.bytes)
			return r.read(ctx, g, emit)
		}
	}
	return fault.New(fault.NotFound, "read group from series "+p.BackupID, "it has no group %d", group)
}

func (r *Reader) read(ctx context.Context, g *GroupPlan, emit func(*archive.Record) error) error {
	var counts tally
	m := newMerger(ctx, r.restore(nil), g.members)
	for _, s := range g.pieces(1) {
		if s.mark != nil || g.only != nil && s.within == nil {
			continue
		}
		err := m.merge(s.slice, func(rec *archive.Record) error {
			if g.schema != nil && !g.schema.Keep(rec.Key) {
				return nil
			}
			return emit(rec)
		})
		if err != nil {
			return err
		}
		counts.take(&s, m)
	}
	return counts.check(g)
}
