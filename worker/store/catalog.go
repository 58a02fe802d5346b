package store

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/brockdb/brock/backup/fault"
)

// Collection is a collection as the catalog describes it.
type Collection struct {
	Namespace string
	Name      string
	ID        uint64          // never used twice
	Schema    json.RawMessage // nil when the collection was made without one
	CreatedTs uint64          // the commit that made it
	Restoring bool            // its records are still arriving
}

// Ref returns the collection's names.
func (c Collection) Ref() Ref { return Ref{c.Namespace, c.Name} }

// catalogRecord is the stored value of a catalog record.
type catalogRecord struct {
	ID        uint64          `json:"id"`
	Schema    json.RawMessage `json:"schema,omitempty"`
	CreatedTs uint64          `json:"created_ts"`
	State     string          `json:"state,omitempty"` // "" or stateRestoring
}

// stateRestoring marks a collection whose records are arriving from a backup.
const stateRestoring = "restoring"

// encodeCatalogRecord writes the JSON by hand: json.Marshal would escape what
// the user's schema says about <, > and &.
func encodeCatalogRecord(r catalogRecord) []byte {
	value := fmt.Appendf(nil, `{"id":%d`, r.ID)
	if r.Schema != nil {
		value = append(value, `,"schema":`...)
		value = append(value, r.Schema...)
	}
	value = fmt.Appendf(value, `,"created_ts":%d`, r.CreatedTs)
	if r.State != "" {
		value = fmt.Appendf(value, `,"state":%q`, r.State)
	}
	return append(value, '}')
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
	if record.State != "" && record.State != stateRestoring {
		return c, false, fault.New(fault.Corrupt, "read catalog record of "+ref.String(), "its state %s is unknown", quote(record.State))
	}
	return Collection{ref.Namespace, ref.Collection, record.ID, record.Schema, record.CreatedTs, record.State != ""}, true, nil
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
// in it were dropped, though no delete marker says so. A collection that was
// being restored when it was backed up is not whole and does not count.
type Catalog struct {
	byID   map[uint64]Collection
	left   map[Ref]struct{} // what is in the backup and is not restored
	maxUID uint64
	seen   bool // any record of the catalog
}

// NewCatalog returns an empty catalog.
func NewCatalog() *Catalog {
	return &Catalog{byID: make(map[uint64]Collection), left: make(map[Ref]struct{})}
}

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
	c.seen = true
	if !ok {
		if string(key) == string(counterKey(counterMaxUID)) {
			c.maxUID, err = decodeCounter(counterMaxUID, value)
		}
		return err
	}
	ref := collection.Ref()
	if other, twice := c.byID[collection.ID]; twice && other.Ref() != ref {
		return fault.New(fault.Corrupt, "read catalog record of "+ref.String(), "%s has the same id %d", other.Ref(), collection.ID)
	}
	if collection.Restoring {
		c.left[ref] = struct{}{}
		return nil
	}
	c.byID[collection.ID] = collection
	return nil
}

// Collections returns the collections of the catalog, by namespace and name.
func (c *Catalog) Collections() []Collection {
	all := slices.Collect(maps.Values(c.byID))
	slices.SortFunc(all, func(a, b Collection) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
	return all
}

// Leave takes a collection out of what is restored, as if it were not there.
func (c *Catalog) Leave(id uint64) {
	if collection, ok := c.byID[id]; ok {
		c.left[collection.Ref()] = struct{}{}
		delete(c.byID, id)
	}
}

// Keep reports whether a restore keeps key: the catalog and the records of
// collections that are in it, but for those that are left out.
func (c *Catalog) Keep(key []byte) bool {
	if IsCatalogKey(key) {
		if len(c.left) == 0 {
			return true
		}
		ref, ok := parseCatalogKey(key)
		_, left := c.left[ref]
		return !ok || !left
	}
	id, _, ok := parseRecordKey(key)
	if ok {
		_, ok = c.byID[id]
	}
	return ok
}

// Name returns the names of the collection with the given id.
func (c *Catalog) Name(id uint64) (namespace, name string, ok bool) {
	collection, ok := c.byID[id]
	return collection.Namespace, collection.Name, ok
}

// Empty reports whether no catalog record was observed.
func (c *Catalog) Empty() bool { return !c.seen }

// MaxUID returns the highest uid that was handed out, as the catalog says.
func (c *Catalog) MaxUID() uint64 { return c.maxUID }

// RecordPrefix covers the records of the collection with the given id.
func RecordPrefix(id uint64) []byte { return recordPrefix(id) }

// RecordOf takes the key of a record apart; it points into key.
func RecordOf(key []byte) (id uint64, user []byte, ok bool) { return parseRecordKey(key) }
