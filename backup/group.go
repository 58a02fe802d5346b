package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/brockdb/brock/backup/archive"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
	"github.com/brockdb/brock/ee"
)

// GroupRequest asks for one group's share of a backup: what the coordinator of
// a backup tells the holder of a group.
type GroupRequest struct {
	Group       uint32
	BackupID    string
	Folder      string // at the destination
	Snapshot    *Snapshot
	Since       uint64
	AllVersions bool
	Destination destination.Destination
	Key         ee.Key
	Level       archive.Level
	ChunkBytes  int
	PartBytes   int64 // 0 means DefaultPartBytes
	Workers     int
	Progress    *Progress

	// Kept are parts of this backup that are stored already, by key; new ones
	// are numbered from FirstPart on, 0 meaning 1.
	Kept      []archive.Part
	FirstPart int
	// Finished, when set, is told about each stored part, from many goroutines.
	// Its error ends the group.
	Finished func(ctx context.Context, p archive.Part) error
}

// RunGroup stores the parts and the part list of one group and returns what the
// manifest says of it. On an error objects may be left in the folder; without a
// manifest they are no backup.
func RunGroup(ctx context.Context, q GroupRequest) (*manifest.Group, error) {
	if q.PartBytes == 0 {
		q.PartBytes = DefaultPartBytes
	}
	layout, err := checkBadger()
	if err == nil {
		err = checkOracle()
	}
	if err != nil {
		return nil, err
	}
	var ranges []keyRange
	var rawBytes int64
	err = guarded(q.Snapshot.DB, func() string { return "cut the database into key ranges" }, func() error {
		ranges, rawBytes = cutRanges(q.Snapshot.DB, q.Workers)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if q.Since == 0 && q.Snapshot.Only == nil {
		q.Progress.Expect(rawBytes)
	}
	ranges = without(ranges, q.Kept)
	q.Progress.Enter(PhaseScan)
	for i := range q.Kept {
		q.Progress.Add(q.Kept[i].Records, q.Kept[i].RawBytes, 0)
	}
	group, gctx := errgroup.WithContext(ctx)
	run := &groupRun{GroupRequest: q, layout: layout, queue: make(chan keyRange, len(ranges)),
		group: group, commits: make(chan struct{}, q.Workers), parts: slices.Clone(q.Kept)}
	run.opened.Store(int64(max(q.FirstPart, 1) - 1))
	for _, r := range ranges {
		run.queue <- r
	}
	close(run.queue)
	for range min(q.Workers, len(ranges)) {
		group.Go(func() error { return run.work(gctx) })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if err := checkDiscarded(q); err != nil {
		return nil, err
	}
	slices.SortFunc(run.parts, func(a, b archive.Part) int { return bytes.Compare(a.FirstKey, b.FirstKey) })
	return run.finish(ctx)
}

// checkDiscarded makes sure that nothing could be dropped that was to be read:
// versions in the snapshot, or deletes after since. In an unmanaged database
// the discard timestamp is 0, and the open transaction does the same.
func checkDiscarded(q GroupRequest) error {
	limit := q.Snapshot.ReadTs
	if q.Since > 0 {
		limit = q.Since
	}
	if ts := discardTsOf(q.Snapshot.DB); ts > limit {
		return fault.New(fault.Other, "back up the database", "its discard timestamp was set to %d, and the backup needs it at %d or below", ts, limit).
			WithHint("set it with ManagedSource.SetDiscardTs, never with DB.SetDiscardTs")
	}
	return nil
}

// groupRun is one run of RunGroup. Workers take ranges from the queue. What they
// have written is committed beside them, because making it durable is waiting,
// and they have more to do; nothing else passes between goroutines.
type groupRun struct {
	GroupRequest
	layout  *badgerLayout
	queue   chan keyRange
	group   *errgroup.Group
	commits chan struct{} // has room for as many commits as may be under way
	opened  atomic.Int64  // parts begun, for their names

	mu    sync.Mutex
	parts []archive.Part
}

func (g *groupRun) work(ctx context.Context) error {
	enc, err := archive.NewEncoder(g.Level)
	if err != nil {
		return fault.Wrap(err, "start compressor")
	}
	w := &rangeWriter{run: g, ctx: ctx, enc: enc, buf: make([]byte, 0, g.ChunkBytes+g.ChunkBytes/8)}
	s := &scanner{ctx: ctx, snap: g.Snapshot, layout: g.layout, since: g.Since, allVersions: g.AllVersions}
	for r := range g.queue {
		var err error
		for _, part := range g.Snapshot.within(r) {
			if err == nil {
				err = s.scan(part, w.emit)
			}
		}
		if err == nil {
			err = w.finish()
		}
		if err != nil {
			return errors.Join(err, w.abort())
		}
	}
	return nil
}

// rangeWriter turns the records of a range into a part; a range without records
// makes none.
type rangeWriter struct {
	run    *groupRun
	ctx    context.Context
	enc    *archive.Encoder
	buf    []byte
	object destination.Writer
	part   *archive.PartWriter
}

func (w *rangeWriter) emit(rec *archive.Record, newKey bool) error {
	g := w.run
	if rec.Version <= g.Since || rec.Version > g.Snapshot.ReadTs {
		return fault.New(fault.Corrupt, fmt.Sprintf("back up key %x", clip(rec.Key)),
			"its version %d is not in (%d, %d]", rec.Version, g.Since, g.Snapshot.ReadTs)
	}
	if w.part != nil && newKey && (w.part.LineBytes() > archive.MaxPartLine || w.part.StoredBytes() >= g.PartBytes) {
		if err := w.finish(); err != nil {
			return err
		}
	}
	if w.part == nil {
		if err := w.open(); err != nil {
			return err
		}
	}
	var collection uint64
	if g.Snapshot.CollectionOf != nil && newKey {
		collection, _ = g.Snapshot.CollectionOf(rec.Key)
	}
	return w.part.Add(rec, newKey, collection)
}

func (w *rangeWriter) open() (err error) {
	g := w.run
	name := manifest.PartName(g.Snapshot.ReadTs, g.Group, int(g.opened.Add(1)))
	w.object, err = g.Destination.Create(w.ctx, g.Folder+"/"+name, destination.Exclusive)
	if err != nil {
		return fault.Wrap(err, "create part %s", name)
	}
	w.part, err = archive.NewPartWriter(w.object, name, w.enc,
		archive.PartOptions{Key: g.Key, ChunkBytes: g.ChunkBytes, Flushed: g.Progress.Add}, w.buf)
	return err
}

// finish ends the part and has it committed. An error of the commit ends the
// group.
func (w *rangeWriter) finish() error {
	if w.part == nil {
		return nil
	}
	part, buf, err := w.part.Finish()
	w.buf = buf
	if err != nil {
		return err
	}
	g, ctx, object := w.run, w.ctx, w.object
	select {
	case g.commits <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	w.part, w.object = nil, nil
	g.group.Go(func() error {
		defer func() { <-g.commits }()
		if err := object.Commit(ctx); err != nil {
			return errors.Join(fault.Wrap(err, "store part %s", part.Name), object.Abort())
		}
		g.mu.Lock()
		g.parts = append(g.parts, part)
		g.mu.Unlock()
		if g.Finished == nil {
			return nil
		}
		return g.Finished(ctx, part)
	})
	return nil
}

func (w *rangeWriter) abort() error {
	if w.object == nil {
		return nil
	}
	return w.object.Abort()
}

// finish stores the part list and sums up.
func (g *groupRun) finish(ctx context.Context) (*manifest.Group, error) {
	g.Progress.Enter(PhaseCommit)
	list := &archive.List{Parts: g.parts, Head: archive.ListHead{
		BackupID: g.BackupID, Group: g.Group, Since: g.Since, ReadTs: g.Snapshot.ReadTs}}
	stored, err := archive.EncodeList(list, g.Key)
	if err != nil {
		return nil, err
	}
	name := manifest.PartListName(g.Snapshot.ReadTs, g.Group)
	if err := storeObject(ctx, g.Destination, g.Folder+"/"+name, stored); err != nil {
		return nil, fault.Wrap(err, "store part list %s", name)
	}
	sum := sha256.Sum256(stored)
	result := &manifest.Group{
		PartList:    manifest.Object{Name: name, Bytes: int64(len(stored)), SHA256: hex.EncodeToString(sum[:])},
		Collections: slices.Clone(g.Snapshot.Collections),
	}
	counts := make(map[uint64]int64)
	for i := range g.parts {
		p := &g.parts[i]
		result.Add(manifest.Totals{Parts: 1, Records: p.Records, RawBytes: p.RawBytes, StoredBytes: p.StoredBytes})
		for id, n := range p.Collections {
			counts[id] += n
		}
	}
	for i := range result.Collections {
		result.Collections[i].Records = counts[result.Collections[i].ID]
	}
	return result, nil
}

// storeObject creates an object that must not exist.
func storeObject(ctx context.Context, d destination.Destination, name string, data []byte) error {
	w, err := d.Create(ctx, name, destination.Exclusive)
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	if err == nil {
		err = w.Commit(ctx)
	}
	if err != nil {
		return errors.Join(err, w.Abort())
	}
	return nil
}

// detached returns a context for cleaning up after ctx was canceled.
func detached(ctx context.Context) (context.Context, context.CancelFunc) {
	const cleanUpTime = 30 * time.Second
	return context.WithTimeout(context.WithoutCancel(ctx), cleanUpTime)
}
