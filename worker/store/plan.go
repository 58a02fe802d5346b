package store

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup/fault"
)

const uidPrefix = "0x"

// uidKey is the key of a record that was put without one.
func uidKey(uid uint64) string { return uidPrefix + strconv.FormatUint(uid, 16) }

// plan is what one batch comes to, given what the store holds.
type plan struct {
	*proposal
	writes  []write
	size    size
	used    map[Ref]struct{}
	changed map[Ref]uint64 // id of a collection that was made; 0: dropped
	records map[Ref]int    // where in writes a changed collection's record stands
	reaps   []reap
	nextID  uint64
	maxUID  uint64
	uidKeys map[int]string
	deletes bool
	apply   func()
	busy    Ref // a collection that the batch would change and that is being restored
}

// plan works out what p comes to. The error refuses p. It changes nothing.
func (c *committer) plan(p *proposal, g *group) (*plan, error) {
	pl := &plan{
		proposal: p,
		used:     make(map[Ref]struct{}),
		changed:  make(map[Ref]uint64),
		records:  make(map[Ref]int),
		nextID:   g.nextID,
		maxUID:   g.maxUID,
	}
	for _, step := range []func(*plan, *group) error{
		c.planDrops, c.planCreates, c.planPuts, c.planRemoves, c.planLoads, c.planLocal,
	} {
		if err := step(pl, g); err != nil {
			return nil, err
		}
	}
	if pl.busy != (Ref{}) {
		return nil, fault.New(fault.Locked, "change collection "+pl.busy.String(), "it is being restored").
			WithHint("wait until the task is done, or cancel it")
	}
	for _, w := range pl.writes {
		pl.size.add(w)
		pl.deletes = pl.deletes || w.value == nil
	}
	return pl, c.checkSize(pl.size)
}

// collection returns the id of a collection as pl leaves it so far.
func (c *committer) collection(pl *plan, ref Ref) (id uint64, ok bool) {
	pl.used[ref] = struct{}{}
	if id, changed := pl.changed[ref]; changed {
		return id, id != 0
	}
	id, ok = c.collections[ref]
	if hidden, restoring := c.restoring[ref]; restoring && !hidden {
		pl.busy = ref
	}
	return id, ok
}

func (c *committer) planDrops(pl *plan, g *group) error {
	for _, ref := range pl.drops {
		id, ok := c.collection(pl, ref)
		if !ok {
			return errNoCollection("drop", ref)
		}
		pl.changed[ref] = 0
		pl.records[ref] = len(pl.writes)
		reap := reap{id, g.ts}
		pl.reaps = append(pl.reaps, reap)
		pl.writes = append(pl.writes, write{catalogKey(ref), nil}, reap.write())
	}
	return nil
}

func (c *committer) planCreates(pl *plan, g *group) error {
	for _, create := range pl.creates {
		if _, ok := c.collection(pl, create.ref); ok {
			return fault.New(fault.Exists, "create collection "+create.ref.String(), "it exists")
		}
		pl.create(create.ref, create.schema, g.ts)
	}
	return nil
}

func (pl *plan) create(ref Ref, schema json.RawMessage, ts uint64) (id uint64) {
	id = pl.nextID
	pl.nextID++
	record := write{catalogKey(ref), encodeCatalogRecord(catalogRecord{ID: id, Schema: schema, CreatedTs: ts})}
	if at, dropped := pl.records[ref]; dropped { // by this batch: one write per key
		pl.writes[at] = record
	} else {
		pl.records[ref] = len(pl.writes)
		pl.writes = append(pl.writes, record)
	}
	pl.changed[ref] = id
	return id
}

func (c *committer) planPuts(pl *plan, g *group) error {
	if len(pl.puts) == 0 {
		return nil
	}
	var keyBytes int
	for _, put := range pl.puts {
		keyBytes += recordKeyOverhead + max(len(put.key), len(uidPrefix)+16)
	}
	keys := make([]byte, 0, keyBytes)
	pl.writes = append(make([]write, 0, len(pl.writes)+len(pl.puts)+len(pl.removes)+1), pl.writes...)
	var ref Ref
	var id uint64
	for _, put := range pl.puts {
		if put.ref != ref {
			var ok bool
			if id, ok = c.collection(pl, put.ref); !ok {
				id = pl.create(put.ref, nil, g.ts)
			}
			ref = put.ref
		}
		key := put.key
		if key == "" {
			var err error
			if key, err = c.assignUID(pl, put, id); err != nil {
				return err
			}
		}
		start := len(keys)
		keys = appendRecordKey(keys, id, key)
		pl.writes = append(pl.writes, write{keys[start:len(keys):len(keys)], put.value})
	}
	return nil
}

// assignUID hands out the next uid whose key is free in the collection: a user
// may have put "0x2a" explicitly. If that happens in the same group, fits sees it.
func (c *committer) assignUID(pl *plan, put preparedPut, id uint64) (string, error) {
	for pl.maxUID < math.MaxUint64 {
		pl.maxUID++
		key := uidKey(pl.maxUID)
		if _, taken := pl.prepared.uidKeys[recordRef{put.ref, key}]; taken {
			continue
		}
		stored := recordKey(id, key)
		taken, err := c.exists(stored)
		if err != nil {
			return "", fault.Wrap(err, "assign uid")
		}
		if taken {
			continue
		}
		if pl.uidKeys == nil {
			pl.uidKeys = make(map[int]string)
		}
		pl.uidKeys[put.index] = key
		return key, nil
	}
	return "", fault.New(fault.Other, "assign uid", "all 2^64 are used")
}

// exists reports whether a key is stored. Only the committer changes anything,
// so what it reads is the newest there is.
func (c *committer) exists(key []byte) (bool, error) {
	txn := c.db.NewTransactionAt(math.MaxUint64, false)
	defer txn.Discard()
	_, err := txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return false, nil
	}
	return err == nil, err
}

func (c *committer) planRemoves(pl *plan, _ *group) error {
	for _, remove := range pl.removes {
		id, ok := c.collection(pl, remove.ref)
		if !ok {
			return fault.New(fault.NotFound, "remove record "+quote(remove.key),
				"collection %s does not exist", remove.ref)
		}
		pl.writes = append(pl.writes, write{recordKey(id, remove.key), nil})
	}
	return nil
}

func (c *committer) planLocal(pl *plan, g *group) error {
	pl.writes = append(pl.writes, pl.local...)
	if pl.step != nil {
		return pl.step(c, pl, g)
	}
	if pl.resolve == nil {
		return nil
	}
	writes, apply, err := pl.resolve(c.tracker)
	pl.writes = append(pl.writes, writes...)
	pl.apply = apply
	return err
}
