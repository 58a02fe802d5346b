package restore

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	badger "github.com/dgraph-io/badger/v4"
	"golang.org/x/sync/errgroup"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/archive"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/ee"
)

// Restore turns a series into Badger directories, one per group, or fills one
// open and empty database. Source and one of Dir and DB are required.
type Restore struct {
	Source    destination.Destination
	BackupID  string    // "" means the series begun last
	BackupNum int       // 0 means the newest of the series
	Until     time.Time // instead of BackupNum, as in Point
	Keys      ee.KeyRing
	Expect    Expect // of the series

	Dir string     // p1, p2… are made in it
	DB  *badger.DB // instead of Dir: open, empty, managed or not

	// AtRest encrypts the directories that are made, with Badger's own
	// encryption. It need not be a key of the backups.
	AtRest ee.Key

	// NewSchema, when set, is called once per group.
	NewSchema func() Schema

	Workers         int // parallel slices; 0 means all cores
	Sink            SinkKind
	IgnoreFreeSpace bool

	Progress *backup.Progress // may be nil
}

// Result is what a restore made.
type Result struct {
	BackupID  string   `json:"backup_id"`
	BackupNum int      `json:"backup_num"`
	Version   uint64   `json:"version"` // the read_ts of the last backup
	MaxUID    uint64   `json:"max_uid"`
	Records   int64    `json:"records"`
	Marks     int64    `json:"-"` // further records, added by the schema
	Dirs      []string `json:"dirs"`
	Partial   bool     `json:"partial,omitempty"` // the backup holds some collections only
}

// The phases of a restore, in order.
const (
	PhasePlan   = "plan"   // reading manifests and part lists
	PhaseMerge  = "merge"  // reading parts, writing Badger
	PhaseFinish = "finish" // syncing, counting, renaming
)

func (r *Restore) check() error {
	if r.Source == nil || (r.Dir == "") == (r.DB == nil) {
		return fault.New(fault.Usage, "restore", "Source and exactly one of Dir and DB must be set")
	}
	if r.DB != nil && !r.AtRest.IsZero() {
		return fault.New(fault.Usage, "restore", "AtRest is set, and the database is open already")
	}
	if err := r.Expect.check(); err != nil {
		return err
	}
	if r.Workers < 0 {
		return fault.New(fault.Usage, "restore", "Workers is %d", r.Workers)
	}
	return nil
}

// Run restores and returns what was made. On an error nothing looks finished:
// what a group had become is deleted, or, if the process dies, stays in pN.tmp
// until the next restore there.
func (r *Restore) Run(ctx context.Context) (*Result, error) {
	r.Progress.Enter(PhasePlan)
	p, err := r.Plan(ctx)
	if err != nil {
		return nil, err
	}
	return r.Execute(ctx, p)
}

// Execute carries out a plan of this Restore.
func (r *Restore) Execute(ctx context.Context, p *Plan) (*Result, error) {
	newest := p.Newest()
	res := &Result{BackupID: p.BackupID, BackupNum: newest.BackupNum, Version: newest.ReadTs, MaxUID: newest.MaxUID, Partial: newest.Partial}
	mark, err := backup.Reading(ctx, r.Source, "restore", newest)
	if err != nil {
		return nil, err
	}
	defer func() { _ = mark.Release(context.WithoutCancel(ctx)) }() // it expires
	r.Progress.Expect(p.RawBytes())
	var temps []*tempDir
	err = r.groups(ctx, p, res, &temps)
	if err == nil {
		err = publish(temps)
	}
	for _, t := range temps {
		if err != nil {
			err = errors.Join(err, t.abandon())
		} else {
			err = t.unlock()
		}
	}
	if err != nil {
		return nil, err
	}
	r.Progress.Enter(backup.PhaseDone)
	return res, nil
}

// groups restores all groups, each into a temporary directory that it adds to
// temps, and sums up.
func (r *Restore) groups(ctx context.Context, p *Plan, res *Result, temps *[]*tempDir) error {
	if r.DB == nil {
		if err := makeDir(r.Dir); err != nil {
			return err
		}
	}
	for i := range p.Groups {
		g := &p.Groups[i]
		dir := ""
		if r.DB == nil {
			temp, err := newTemp(g.Target)
			if err != nil {
				return err
			}
			*temps = append(*temps, temp)
			dir = temp.path
			res.Dirs = append(res.Dirs, g.Target)
		}
		records, err := r.fill(ctx, p, g, dir)
		if err != nil {
			return fault.Wrap(err, "restore group %d", g.Group)
		}
		res.Records += records
		res.Marks += int64(len(g.marks))
	}
	return nil
}

// fill merges a group into the database in dir.
func (r *Restore) fill(ctx context.Context, p *Plan, g *GroupPlan, dir string) (int64, error) {
	out, err := r.newSink(dir, g)
	if err != nil {
		return 0, err
	}
	r.Progress.Enter(PhaseMerge)
	written, err := r.mergeAll(ctx, g, out)
	if err != nil {
		return 0, errors.Join(err, out.abort())
	}
	r.Progress.Enter(PhaseFinish)
	records, err := out.finish()
	if err == nil && records != written {
		err = fault.New(fault.Other, "restore", "%d records were merged and %d written", written, records)
	}
	return records - int64(len(g.marks)), err
}

// readSchema reads the metadata of the restored state, has a Chooser choose, and
// asks for the marks.
func (r *Restore) readSchema(ctx context.Context, p *Plan, g *GroupPlan) error {
	if r.NewSchema == nil {
		return nil
	}
	schema := r.NewSchema()
	if isForeign(p.Chain) {
		return takeAll(schema, p, g)
	}
	prefix := schema.Metadata()
	quiet := *r
	quiet.Progress = nil
	err := newMerger(ctx, &quiet, g.members).merge(slice{prefix, prefixEnd(prefix)}, func(rec *archive.Record) error {
		return schema.Observe(rec.Key, rec.Value)
	})
	if err != nil {
		return fault.Wrap(err, "read the catalog")
	}
	if isStrange(schema, p.Chain) {
		return takeAll(schema, p, g)
	}
	newest := p.Newest()
	if chooser, ok := schema.(Chooser); ok {
		if g.only, err = chooser.Choose(newest, g.Group); err != nil {
			return err
		}
	}
	g.schema = schema
	g.marks, err = schema.Marks(g.Group, newest.ReadTs, newest.MaxUID)
	slices.SortFunc(g.marks, func(a, b Mark) int { return slices.Compare(a.Key, b.Key) })
	return fault.Wrap(err, "make the marks of a restored directory")
}

// prefixEnd returns the smallest key above all keys with the prefix, or nil.
func prefixEnd(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			end := slices.Clone(prefix[:i+1])
			end[i]++
			return end
		}
	}
	return nil
}

// mergeAll merges all slices in parallel, and counts what was read of each
// backup against its manifest.
func (r *Restore) mergeAll(ctx context.Context, g *GroupPlan, out sink) (int64, error) {
	workers := r.Workers
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	pieces := g.pieces(workers)
	queue := make(chan *piece, len(pieces))
	for i := range pieces {
		queue <- &pieces[i]
	}
	close(queue)
	var written atomic.Int64
	var counts tally
	group, gctx := errgroup.WithContext(ctx)
	for range min(workers, len(pieces)) {
		group.Go(func() error {
			m := newMerger(gctx, r, g.members)
			for s := range queue {
				n, err := s.write(m, g, out)
				if err != nil {
					return err
				}
				written.Add(n)
				counts.take(s, m)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return 0, err
	}
	return written.Load(), counts.check(g)
}

// writeSlice merges one slice, with the marks that lie in it, into the sink.
func writeSlice(m *merger, s slice, number int, marks []Mark, schema Schema, out sink) (n int64, err error) {
	w, err := out.slice(number)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	add := func(rec *archive.Record) error {
		n++
		return w.add(rec)
	}
	newest := m.members[len(m.members)-1].manifest.ReadTs
	for len(marks) > 0 && slices.Compare(marks[0].Key, s.left) < 0 {
		marks = marks[1:]
	}
	addMarks := func(below []byte, all bool) error {
		for len(marks) > 0 && !s.beyond(marks[0].Key) && (all || slices.Compare(marks[0].Key, below) <= 0) {
			if !all && slices.Equal(marks[0].Key, below) {
				return fault.New(fault.Other, "add mark", "the backup holds the reserved key %x", below)
			}
			if err := add(&archive.Record{Key: marks[0].Key, Value: marks[0].Value, Version: newest}); err != nil {
				return err
			}
			marks = marks[1:]
		}
		return nil
	}
	err = m.merge(s, func(rec *archive.Record) error {
		if schema != nil && !schema.Keep(rec.Key) {
			return nil
		}
		if err := addMarks(rec.Key, false); err != nil {
			return err
		}
		return add(rec)
	})
	if err == nil {
		err = addMarks(nil, true)
	}
	if err != nil {
		return 0, fmt.Errorf("keys from %.32x: %w", s.left, err)
	}
	return n, nil
}
