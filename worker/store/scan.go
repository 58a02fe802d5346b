package store

import (
	"bytes"
	"context"
	"errors"
	"strings"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup/fault"
)

// ScanOptions chooses the records of a scan: all of these must hold. Keys are
// compared byte by byte. The zero value chooses all.
type ScanOptions struct {
	Prefix string // the key begins with it
	From   string // the key is at or after it
	To     string // the key is before it; "" for no end
	After  string // the key is after it: the last key of the page before
	Limit  int    // at most so many records; 0 for no limit
}

// start returns the stored key the scan begins at.
func (o ScanOptions) start(id uint64) []byte {
	first := max(o.Prefix, o.From)
	key := recordKey(id, first)
	if o.After != "" && o.After >= first {
		key = append(recordKey(id, o.After), 0) // the very next key
	}
	return key
}

// errEnd ends a scan that has seen enough.
var errEnd = errors.New("end of scan")

// How many records pass between two looks at the context.
const recordsPerCheck = 256

// Scan calls fn for the records of a collection that options choose, in
// ascending order of their keys, until fn returns an error, which Scan returns.
// The value is valid during the call only. The error is of kind NotFound when
// there is no such collection, Canceled when ctx is done or the store closes.
func (v *View) Scan(ctx context.Context, namespace, collection string, options ScanOptions,
	fn func(key string, value []byte, version uint64) error) error {
	done, err := v.use()
	if err != nil {
		return err
	}
	defer done()
	c, err := v.lookup(Ref{namespace, collection})
	if err != nil {
		return err
	}
	op := "scan collection " + c.Namespace + "/" + c.Name
	var seen int
	var buf []byte
	err = v.reader.scan(recordPrefix(c.ID), options.start(c.ID), func(item *badger.Item) error {
		if seen%recordsPerCheck == 0 {
			if err := v.stopped(ctx, op); err != nil {
				return err
			}
		}
		key := string(item.Key()[recordKeyOverhead:])
		if options.To != "" && key >= options.To || !strings.HasPrefix(key, options.Prefix) {
			return errEnd
		}
		var err error
		if buf, err = itemValue(item, buf); err != nil {
			return fault.Wrap(err, "%s", op)
		}
		if err := fn(key, buf, item.Version()); err != nil {
			return err
		}
		if seen++; seen == options.Limit {
			return errEnd
		}
		return nil
	})
	if errors.Is(err, errEnd) {
		return nil
	}
	return err
}

// Count returns the number of records of a collection. It reads all its keys.
func (v *View) Count(ctx context.Context, namespace, collection string) (int64, error) {
	done, err := v.use()
	if err != nil {
		return 0, err
	}
	defer done()
	c, err := v.lookup(Ref{namespace, collection})
	if err != nil {
		return 0, err
	}
	counts, err := v.count(ctx, recordPrefix(c.ID))
	return counts[c.ID], err
}

// Counts returns the number of records of every collection, by its id, from one
// pass over all keys. Empty collections are in it.
func (v *View) Counts(ctx context.Context) (map[uint64]int64, error) {
	done, err := v.use()
	if err != nil {
		return nil, err
	}
	defer done()
	all, err := v.count(ctx, recordsPrefix())
	if err != nil {
		return nil, err
	}
	counts := make(map[uint64]int64)
	err = v.reader.collections(catalogPrefix(), func(c Collection) error {
		counts[c.ID] = all[c.ID] // what is not in the catalog does not count
		return nil
	})
	return counts, fault.Wrap(err, "count records")
}

func (v *View) count(ctx context.Context, prefix []byte) (map[uint64]int64, error) {
	counts := make(map[uint64]int64)
	var current []byte // prefix of the collection being counted
	var id uint64
	var n, seen int64
	err := v.reader.scan(prefix, nil, func(item *badger.Item) error {
		if seen%recordsPerCheck == 0 {
			if err := v.stopped(ctx, "count records"); err != nil {
				return err
			}
		}
		seen++
		if key := item.Key(); current == nil || !bytes.HasPrefix(key, current) {
			next, _, ok := parseRecordKey(key)
			if !ok {
				return fault.New(fault.Corrupt, "count records", "%x is no record's key", key)
			}
			counts[id] += n
			id, n, current = next, 0, recordPrefix(next)
		}
		n++
		return nil
	})
	counts[id] += n
	return counts, err
}
