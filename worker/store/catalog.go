package store

import (
	"encoding/json"
	"fmt"

	"github.com/brockdb/brock/backup/fault"
)

// Collection is a collection as the catalog describes it.
type Collection struct {
	Namespace string
	Name      string
	ID        uint64          // never used twice
	Schema    json.RawMessage // nil when the collection was made without one
	CreatedTs uint64          // the commit that made it
}

// catalogRecord is the stored value of a catalog record.
type catalogRecord struct {
	ID        uint64          `json:"id"`
	Schema    json.RawMessage `json:"schema,omitempty"`
	CreatedTs uint64          `json:"created_ts"`
}

// encodeCatalogRecord writes the JSON by hand: json.Marshal would escape what
// the user's schema says about <, > and &.
func encodeCatalogRecord(r catalogRecord) []byte {
	value := fmt.Appendf(nil, `{"id":%d`, r.ID)
	if r.Schema != nil {
		value = append(value, `,"schema":`...)
		value = append(value, r.Schema...)
	}
	return fmt.Appendf(value, `,"created_ts":%d}`, r.CreatedTs)
}

// decodeCollection takes a catalog record apart. It returns false for a
// counter.
func decodeCollection(key, value []byte) (c Collection, ok bool, err error) {
	ref, ok := parseCatalogKey(key)
	if !ok {
		if len(key) > 1 && key[1] == 0 {
			return c, false, nil
		}
		return c, false, fault.New(fault.Corrupt, "read catalog record "+quote(string(key)), "its key names no collection")
	}
	var record catalogRecord
	if err := json.Unmarshal(value, &record); err != nil {
		return c, false, fault.New(fault.Corrupt, "read catalog record of "+ref.String(), "%w", err)
	}
	if record.ID == 0 {
		return c, false, fault.New(fault.Corrupt, "read catalog record of "+ref.String(), "it has no collection id")
	}
	return Collection{ref.Namespace, ref.Collection, record.ID, record.Schema, record.CreatedTs}, true, nil
}

func encodeCounter(n uint64) []byte { return fmt.Appendf(nil, "%d", n) }

func decodeCounter(name string, value []byte) (n uint64, err error) {
	if err := json.Unmarshal(value, &n); err != nil {
		return 0, fault.New(fault.Corrupt, "read counter "+name, "%w", err)
	}
	return n, nil
}

// Catalog collects the catalog records of a backup and decides which of its
// other keys a restore keeps. The catalog is backed up whole, so what the
// newest backup of a chain says is final: records of a collection that is not
// in it were dropped, though no delete marker says so.
type Catalog struct {
	byID   map[uint64]Ref
	maxUID uint64
}

// NewCatalog returns an empty catalog.
func NewCatalog() *Catalog { return &Catalog{byID: make(map[uint64]Ref)} }

// IsCatalogKey reports whether a key belongs to the catalog, and so must be
// observed before any other key is asked for.
func IsCatalogKey(key []byte) bool { return len(key) > 0 && key[0] == kindCatalog }

// Metadata returns the prefix of the catalog's keys: what Observe takes in.
func (c *Catalog) Metadata() []byte { return catalogPrefix() }

// Observe takes in one live catalog record: the newest version of its key. The
// error is of kind Corrupt.
func (c *Catalog) Observe(key, value []byte) error {
	if !IsCatalogKey(key) {
		return fault.New(fault.Corrupt, "read catalog record "+quote(string(key)), "its key is not of the catalog")
	}
	collection, ok, err := decodeCollection(key, value)
	if err != nil {
		return err
	}
	if !ok {
		if string(key) == string(counterKey(counterMaxUID)) {
			c.maxUID, err = decodeCounter(counterMaxUID, value)
		}
		return err
	}
	ref := Ref{collection.Namespace, collection.Name}
	if other, twice := c.byID[collection.ID]; twice && other != ref {
		return fault.New(fault.Corrupt, "read catalog record of "+ref.String(), "%s has the same id %d", other, collection.ID)
	}
	c.byID[collection.ID] = ref
	return nil
}

// Keep reports whether a restore keeps key: the catalog itself and the records
// of collections that are in it.
func (c *Catalog) Keep(key []byte) bool {
	if IsCatalogKey(key) {
		return true
	}
	id, _, ok := parseRecordKey(key)
	if ok {
		_, ok = c.byID[id]
	}
	return ok
}

// Name returns the names of the collection with the given id.
func (c *Catalog) Name(id uint64) (namespace, name string, ok bool) {
	ref, ok := c.byID[id]
	return ref.Namespace, ref.Collection, ok
}

// MaxUID returns the highest uid that was handed out, as the catalog says.
func (c *Catalog) MaxUID() uint64 { return c.maxUID }
