package store

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/brockdb/brock/backup/fault"
)

// Batch is a set of changes that become visible together, at one commit ts.
// They are applied in the order of the fields: drops first, so that a batch can
// drop a collection and create it anew; removes last.
//
// The batch must not be changed until Propose has returned.
type Batch struct {
	Drops   []Ref
	Creates []Create
	Puts    []Put
	Removes []Remove

	local []localWrite
}

// Create makes a collection. Schema is an optional JSON document that is kept
// with it and means nothing to the store.
type Create struct {
	Namespace  string
	Collection string
	Schema     json.RawMessage
}

// Put stores a record, over an older one of the same key, and creates the
// collection when it is missing. With an empty Key the record gets a key made
// of a fresh uid ("0x2a"), which Propose fills in. Of several Puts of one key
// in a batch the last one counts.
type Put struct {
	Namespace  string
	Collection string
	Key        string
	Value      []byte // a JSON document; stored without its blanks
}

// Remove deletes a record. The collection must exist, the record need not.
type Remove struct {
	Namespace  string
	Collection string
	Key        string
}

// localWrite is a change of a local record; a nil value deletes it.
type localWrite struct {
	space, key string
	value      []byte
}

// PutLocal adds a local record to the batch: one that belongs to this directory
// and is in no backup. The space is a name of a-z and _ such as "task"; the
// store's own spaces are refused. The value must not be empty.
func (b *Batch) PutLocal(space, key string, value []byte) {
	b.local = append(b.local, localWrite{space, key, append([]byte{}, value...)})
}

// DeleteLocal adds the deletion of a local record; deleting what does not exist
// is no error.
func (b *Batch) DeleteLocal(space, key string) {
	b.local = append(b.local, localWrite{space, key, nil})
}

// prepared is a batch that was checked as far as that is possible without
// knowing what the store holds. Its names are normal, its values compact.
type prepared struct {
	drops   []Ref
	creates []preparedCreate
	puts    []preparedPut
	removes []preparedRemove
	local   []write
	loads   []preparedLoad // of a restoration

	// step, where set, plans a change of the catalog that no batch can ask for.
	step func(*committer, *plan, *group) error

	// uidKeys holds the explicit keys of the batch that look like uids: none
	// of them may be handed out for a record without a key.
	uidKeys map[recordRef]struct{}

	// resolve, where set, finds out in the committer, where nothing else
	// changes, what else to write. apply runs when that is durable, in the
	// same instant in which it becomes visible.
	resolve func(*tracker) (writes []write, apply func(), err error)

	// onCommit, where set, runs in the instant in which the commit becomes
	// visible, under the tracker's lock.
	onCommit func(ts uint64)
}

type preparedCreate struct {
	ref    Ref
	schema json.RawMessage
}

type preparedPut struct {
	ref   Ref
	key   string // "" until a uid is assigned
	value []byte
	index int // in Batch.Puts
}

type preparedRemove struct {
	ref Ref
	key string
}

// recordRef names a record.
type recordRef struct {
	ref Ref
	key string
}

// write is one change of a stored key; a nil value deletes it.
type write struct {
	key   []byte
	value []byte
}

// prepare checks b and returns what is to be committed.
func prepare(b *Batch) (*prepared, error) {
	if b == nil || len(b.Drops)+len(b.Creates)+len(b.Puts)+len(b.Removes)+len(b.local) == 0 {
		return nil, fault.New(fault.Usage, "commit batch", "it is empty")
	}
	p := &prepared{}
	if err := p.addCollections(b); err != nil {
		return nil, err
	}
	index := make(map[recordRef]int, len(b.Puts)+len(b.Removes))
	if err := p.addPuts(b.Puts, index); err != nil {
		return nil, err
	}
	if err := p.addRemoves(b.Removes, index); err != nil {
		return nil, err
	}
	return p, p.addLocal(b.local)
}

func (p *prepared) addCollections(b *Batch) error {
	for _, drop := range b.Drops {
		ref, err := drop.normal()
		if err != nil {
			return err
		}
		p.drops = append(p.drops, ref)
	}
	for _, create := range b.Creates {
		ref, err := Ref{create.Namespace, create.Collection}.normal()
		if err != nil {
			return err
		}
		var schema json.RawMessage
		if len(create.Schema) > 0 {
			var buf bytes.Buffer
			if err := appendCompact(&buf, create.Schema, MaxSchemaBytes); err != nil {
				return fault.New(fault.Usage, "create collection "+ref.String(), "its schema: %w", err)
			}
			schema = buf.Bytes()
		}
		p.creates = append(p.creates, preparedCreate{ref, schema})
	}
	return nil
}

// addPuts checks the puts and compacts their values into one buffer. index
// remembers where in p.puts each record stands.
func (p *prepared) addPuts(puts []Put, index map[recordRef]int) error {
	var size int
	for _, put := range puts {
		size += len(put.Key) + len(put.Value)
	}
	if size > MaxBatchBytes {
		return fault.New(fault.Usage, "commit batch",
			"its keys and values have %d bytes; the limit is %d", size, MaxBatchBytes).
			WithHint("split it")
	}
	p.puts = make([]preparedPut, 0, len(puts))
	var buf bytes.Buffer
	buf.Grow(size) // compact documents are never longer: values are not moved by growth
	var last, given Ref
	for i, put := range puts {
		if asked := (Ref{put.Namespace, put.Collection}); i == 0 || asked != given {
			ref, err := asked.normal()
			if err != nil {
				return err
			}
			last, given = ref, asked
		}
		if flaw := keyFlaw(put.Key); flaw != "" && put.Key != "" {
			return fault.New(fault.Usage, "put record "+quote(put.Key)+" into "+last.String(), "%s", flaw)
		}
		start := buf.Len()
		if err := appendCompact(&buf, put.Value, MaxValueBytes); err != nil {
			return fault.New(fault.Usage, "put record "+quote(put.Key)+" into "+last.String(), "%w", err)
		}
		p.addPut(preparedPut{last, put.Key, buf.Bytes()[start:buf.Len():buf.Len()], i}, index)
	}
	return nil
}

func (p *prepared) addPut(put preparedPut, index map[recordRef]int) {
	if put.key == "" {
		p.puts = append(p.puts, put)
		return
	}
	record := recordRef{put.ref, put.key}
	if at, twice := index[record]; twice {
		p.puts[at] = put
		return
	}
	index[record] = len(p.puts)
	p.puts = append(p.puts, put)
	p.noteUIDKey(record)
}

func (p *prepared) addRemoves(removes []Remove, index map[recordRef]int) error {
	for _, remove := range removes {
		ref, err := Ref{remove.Namespace, remove.Collection}.normal()
		if err != nil {
			return err
		}
		op := "remove record " + quote(remove.Key) + " from " + ref.String()
		if flaw := keyFlaw(remove.Key); flaw != "" {
			return fault.New(fault.Usage, op, "%s", flaw)
		}
		record := recordRef{ref, remove.Key}
		if at, twice := index[record]; twice {
			if at >= 0 {
				return fault.New(fault.Usage, op, "the same batch puts it")
			}
			continue
		}
		index[record] = -1
		p.removes = append(p.removes, preparedRemove(record))
		p.noteUIDKey(record)
	}
	return nil
}

func (p *prepared) noteUIDKey(record recordRef) {
	if !strings.HasPrefix(record.key, uidPrefix) {
		return
	}
	if p.uidKeys == nil {
		p.uidKeys = make(map[recordRef]struct{})
	}
	p.uidKeys[record] = struct{}{}
}

func (p *prepared) addLocal(local []localWrite) error {
	seen := make(map[string]struct{}, len(local))
	for _, w := range local {
		op := "write local record " + quote(w.space+"/"+w.key)
		switch flaw := spaceFlaw(w.space); {
		case flaw != "":
			return fault.New(fault.Usage, op, "%s", flaw)
		case ownSpace(w.space):
			return fault.New(fault.Usage, op, "the space %s is the store's own", w.space)
		case w.key == "" || len(w.key) > MaxKeyBytes:
			return fault.New(fault.Usage, op, "its key has %d bytes; 1 to %d are allowed", len(w.key), MaxKeyBytes)
		case w.value != nil && len(w.value) == 0:
			return fault.New(fault.Usage, op, "its value is empty")
		case len(w.value) > MaxValueBytes:
			return fault.New(fault.Usage, op, "its value has %d bytes; the limit is %d", len(w.value), MaxValueBytes)
		}
		key := localKey(w.space, w.key)
		if _, twice := seen[string(key)]; twice {
			return fault.New(fault.Usage, op, "the same batch writes it twice")
		}
		seen[string(key)] = struct{}{}
		p.local = append(p.local, write{key, w.value})
	}
	return nil
}
