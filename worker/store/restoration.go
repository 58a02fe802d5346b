package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"

	"github.com/brockdb/brock/backup/fault"
)

// A restoration fills collections from a backup while the store serves. Each of
// them has an id of its own from the start, so that nothing of it can be mistaken
// for what was there before:
//
//   - One whose name is free is in the catalog from the first commit on, marked as
//     being restored: it can be read as far as it has come, and not be changed.
//   - One that takes the place of another is not in the catalog until the end:
//     the other is served as before.
//
// The commit that ends the restoration makes all of them ready and drops what they
// replace. Until then a local record names them, and whoever finds it when the
// store is opened drops them: a restoration that has not come to its end leaves
// nothing.

// Incoming is a collection to be restored.
type Incoming struct {
	Namespace  string
	Collection string
	Schema     json.RawMessage // compact; nil for none
	Overwrite  bool            // take the place of one of the same name
}

// Loaded is a record of a restoration.
type Loaded struct {
	Into  int // index of its collection in what BeginRestoration was given
	Key   string
	Value []byte // compact JSON
}

// Restoration is a restore under way. One goroutine uses it, and ends it with
// Finish or Abort.
type Restoration struct {
	store   *Store
	key     string // of its local record
	targets []target
}

// target is a collection of a restoration.
type target struct {
	ref    Ref
	id     uint64
	schema json.RawMessage
	over   bool // may replace another
	hidden bool // does, and so is not in the catalog yet
}

// restoringRecord is the local record of a restoration.
type restoringRecord struct {
	Targets []restoringTarget `json:"targets"`
}

type restoringTarget struct {
	Namespace  string `json:"namespace"`
	Collection string `json:"collection"`
	ID         uint64 `json:"id"`
}

// preparedLoad is a record on its way into a collection that is being restored.
type preparedLoad struct {
	id    uint64
	key   string
	value []byte
}

// maxBackupUID bounds what a backup may say about uids: more would leave the
// store without any.
const maxBackupUID = 1 << 62

// BeginRestoration makes room for collections, in one commit. Kind Exists says
// that one of them is there and may not be overwritten, Locked that it is being
// restored already; then nothing was changed. Uids up to maxUID are not handed
// out from now on.
func (s *Store) BeginRestoration(ctx context.Context, incoming []Incoming, maxUID uint64) (*Restoration, error) {
	const op = "begin restoration"
	if len(incoming) == 0 {
		return nil, fault.New(fault.Usage, op, "there is nothing to restore")
	}
	if maxUID > maxBackupUID {
		return nil, fault.New(fault.Corrupt, op, "the backup's highest uid is %d", maxUID)
	}
	r := &Restoration{store: s, key: newRestorationKey()}
	seen := make(map[Ref]bool, len(incoming))
	for _, in := range incoming {
		ref, err := Ref{in.Namespace, in.Collection}.normal()
		if err != nil {
			return nil, err
		}
		if seen[ref] {
			return nil, fault.New(fault.Usage, op, "two collections would become %s", ref)
		}
		seen[ref] = true
		r.targets = append(r.targets, target{ref: ref, schema: in.Schema, over: in.Overwrite})
	}
	step := func(c *committer, pl *plan, g *group) error { return c.planBegin(pl, g, r, maxUID) }
	if _, _, err := s.submit(ctx, &prepared{step: step}); err != nil {
		return nil, err
	}
	return r, nil
}

func newRestorationKey() string {
	var key [8]byte
	_, _ = rand.Read(key[:]) // never fails: crypto/rand aborts the program instead
	return hex.EncodeToString(key[:])
}

// Load stores records in one commit, durably. They are no more than a batch may
// hold; what is in them must stay as it is until Load returns.
func (r *Restoration) Load(ctx context.Context, records []Loaded) error {
	p := &prepared{loads: make([]preparedLoad, len(records))}
	for i, record := range records {
		t := &r.targets[record.Into]
		op := "restore record " + quote(record.Key) + " of " + t.ref.String()
		if flaw := keyFlaw(record.Key); flaw != "" {
			return fault.New(fault.Corrupt, op, "%s", flaw)
		}
		if len(record.Value) > MaxValueBytes || !json.Valid(record.Value) {
			return fault.New(fault.Corrupt, op, "its value of %d bytes is no JSON document, or too long", len(record.Value))
		}
		p.loads[i] = preparedLoad{t.id, record.Key, record.Value}
	}
	_, _, err := r.store.submit(ctx, p)
	return err
}

// Finish makes the collections ready, and drops those that they replace, in one
// commit, whose ts it returns.
func (r *Restoration) Finish(ctx context.Context) (commitTs uint64, err error) {
	step := func(c *committer, pl *plan, g *group) error { return c.planFinish(pl, g, r) }
	ts, _, err := r.store.submit(ctx, &prepared{step: step})
	return ts, fault.Wrap(err, "finish restoration")
}

// Abort drops the collections in one commit, whatever is in them. What they
// would have replaced is as it was.
func (r *Restoration) Abort(ctx context.Context) error {
	step := func(c *committer, pl *plan, g *group) error { return c.planAbort(pl, g, r.key, r.targets) }
	_, _, err := r.store.submit(ctx, &prepared{step: step})
	return fault.Wrap(err, "abort restoration")
}

// planBegin gives each target an id and makes those with a free name.
func (c *committer) planBegin(pl *plan, g *group, r *Restoration, maxUID uint64) error {
	record := restoringRecord{Targets: make([]restoringTarget, len(r.targets))}
	targets := make([]target, len(r.targets))
	for i, t := range r.targets {
		_, exists := c.collections[t.ref]
		op := "restore collection " + t.ref.String()
		if _, busy := c.restoring[t.ref]; busy {
			return fault.New(fault.Locked, op, "another restore is restoring it")
		}
		if exists && !t.over {
			return fault.New(fault.Exists, op, "it exists").WithHint("restore it under another name (rename), or replace it (overwrite: true)")
		}
		t.id, t.hidden = pl.nextID, exists
		pl.nextID++
		if !t.hidden {
			value := encodeCatalogRecord(catalogRecord{ID: t.id, Schema: t.schema, CreatedTs: g.ts, State: stateRestoring})
			pl.writes = append(pl.writes, write{catalogKey(t.ref), value})
			pl.changed[t.ref] = t.id
		}
		targets[i] = t
		record.Targets[i] = restoringTarget{t.ref.Namespace, t.ref.Collection, t.id}
	}
	value, err := json.Marshal(record)
	if err != nil {
		return err
	}
	pl.writes = append(pl.writes, write{localKey(spaceRestoring, r.key), value})
	pl.maxUID = max(pl.maxUID, maxUID)
	pl.apply = func() {
		r.targets = targets
		for _, t := range targets {
			c.restoring[t.ref], c.incoming[t.id] = t.hidden, struct{}{}
		}
	}
	return nil
}

// planLoads writes records into collections that are being restored.
func (c *committer) planLoads(pl *plan, _ *group) error {
	for _, l := range pl.loads {
		if _, open := c.incoming[l.id]; !open {
			return fault.New(fault.Canceled, "restore record "+quote(l.key), "its restore is over")
		}
		pl.writes = append(pl.writes, write{recordKey(l.id, l.key), l.value})
	}
	return nil
}

// planFinish is the switch: the catalog names the restored collections, and
// nothing of what they replace.
func (c *committer) planFinish(pl *plan, g *group, r *Restoration) error {
	for _, t := range r.targets {
		if _, open := c.incoming[t.id]; !open {
			return fault.New(fault.Canceled, "restore collection "+t.ref.String(), "its restore is over")
		}
		if old, exists := c.collections[t.ref]; exists && old != t.id {
			pl.reap(reap{old, g.ts})
		}
		value := encodeCatalogRecord(catalogRecord{ID: t.id, Schema: t.schema, CreatedTs: g.ts})
		pl.writes = append(pl.writes, write{catalogKey(t.ref), value})
		pl.changed[t.ref] = t.id
	}
	c.planEnd(pl, r.key, r.targets)
	return nil
}

// planAbort drops what was restored so far.
func (c *committer) planAbort(pl *plan, g *group, key string, targets []target) error {
	for _, t := range targets {
		if c.collections[t.ref] == t.id {
			pl.writes = append(pl.writes, write{catalogKey(t.ref), nil})
			pl.changed[t.ref] = 0
		}
		pl.reap(reap{t.id, g.ts})
	}
	c.planEnd(pl, key, targets)
	return nil
}

func (c *committer) planEnd(pl *plan, key string, targets []target) {
	pl.writes = append(pl.writes, write{localKey(spaceRestoring, key), nil})
	pl.apply = func() {
		for _, t := range targets {
			delete(c.restoring, t.ref)
			delete(c.incoming, t.id)
		}
	}
}

// reap has the records of a collection removed once the batch is committed.
func (pl *plan) reap(r reap) {
	pl.reaps = append(pl.reaps, r)
	pl.writes = append(pl.writes, r.write())
}

// dropUnfinished drops what restorations of an earlier process have left.
func (s *Store) dropUnfinished(r reader) error {
	var proposals []*prepared
	err := r.scanLocal(spaceRestoring, func(key string, value []byte) error {
		var record restoringRecord
		if err := json.Unmarshal(value, &record); err != nil {
			return fault.New(fault.Corrupt, "read record of restoration "+quote(key), "%w", err)
		}
		targets := make([]target, len(record.Targets))
		for i, t := range record.Targets {
			targets[i] = target{ref: Ref{t.Namespace, t.Collection}, id: t.ID}
		}
		proposals = append(proposals, &prepared{step: func(c *committer, pl *plan, g *group) error {
			return c.planAbort(pl, g, key, targets)
		}})
		return nil
	})
	for _, p := range proposals {
		err = errors.Join(err, s.committer.commitAlone(p))
	}
	return fault.Wrap(err, "drop what an unfinished restore has left")
}

// commitAlone commits before the committer runs.
func (c *committer) commitAlone(p *prepared) error {
	g := c.newGroup()
	pl, err := c.plan(newProposal(p), g)
	if err != nil {
		return err
	}
	g.add(pl)
	if err := c.write(g); err != nil {
		return err
	}
	c.takeOver(g)
	return nil
}
