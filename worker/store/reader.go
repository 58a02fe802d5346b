package store

import (
	"cmp"
	"errors"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/fault"
)

// reader reads stored keys at one moment.
type reader struct{ txn *badger.Txn }

// get returns the value and version of a stored key, or ok false.
func (r reader) get(key []byte) (value []byte, version uint64, ok bool, err error) {
	// Value log files may go between finding an item and reading its value,
	// when they are collected meanwhile; the value then stands elsewhere.
	for attempt := 1; ; attempt++ {
		item, err := r.txn.Get(key)
		if errors.Is(err, badger.ErrKeyNotFound) {
			return nil, 0, false, r.absent(key)
		}
		if err == nil {
			value, err = itemValue(item, nil)
		}
		if err == nil {
			return value, item.Version(), true, nil
		}
		if attempt == 2 {
			return nil, 0, false, err
		}
	}
}

// absent returns an error unless a key that Badger did not find is not there: it
// does not find what lies in a block that cannot be read.
func (r reader) absent(key []byte) error {
	it := r.txn.NewKeyIterator(key, badger.IteratorOptions{})
	defer it.Close()
	it.Rewind()
	return whole(it)
}

// whole returns an error when an iterator that has ended left out what could not
// be read.
func whole(it *badger.Iterator) error {
	err := backup.Unreadable(it)
	if err == nil {
		return nil
	}
	return fault.New(fault.Corrupt, "read the store", "a table of it is damaged: %w", err).WithHint(restoreHint)
}

// itemValue returns a copy of an item's value in buf. Badger logs a failed read
// of the value log and returns no value and no error.
func itemValue(item *badger.Item, buf []byte) ([]byte, error) {
	value, err := item.ValueCopy(buf)
	if err != nil {
		return nil, err
	}
	if inValueLog(item) && len(value) == 0 {
		return nil, fault.New(fault.Corrupt, "read value of stored key "+quote(string(item.Key())),
			"its value log entry is missing or damaged")
	}
	return value, nil
}

// inValueLog reports whether an item's value is in the value log.
func inValueLog(item *badger.Item) bool {
	return item.EstimatedSize() != item.KeySize()+item.ValueSize()
}

// scan calls fn for every live key under prefix, from key from on, in ascending
// order. The item is valid during the call only. What cannot be read is an error
// when the rest has been read, of kind Corrupt.
func (r reader) scan(prefix, from []byte, fn func(*badger.Item) error) error {
	options := badger.DefaultIteratorOptions
	options.PrefetchValues = false
	options.Prefix = prefix
	it := r.txn.NewIterator(options)
	defer it.Close()
	for it.Seek(from); it.Valid(); it.Next() {
		if err := fn(it.Item()); err != nil {
			if errors.Is(err, errEnd) { // other tables went on where one was left out
				err = cmp.Or(whole(it), err)
			}
			return err
		}
	}
	return whole(it)
}

// collections calls fn for the collections whose catalog keys have prefix.
func (r reader) collections(prefix []byte, fn func(Collection) error) error {
	return r.scan(prefix, nil, func(item *badger.Item) error {
		value, err := itemValue(item, nil)
		if err != nil {
			return err
		}
		c, ok, err := decodeCollection(item.Key(), value)
		if err != nil || !ok {
			return err
		}
		return fn(c)
	})
}

// scanLocal calls fn for the local records of a space. The value is fn's.
func (r reader) scanLocal(space string, fn func(key string, value []byte) error) error {
	return r.scan(localSpace(space), nil, func(item *badger.Item) error {
		_, key, ok := parseLocalKey(item.Key())
		if !ok {
			return fault.New(fault.Corrupt, "read local records "+space, "%q is no local record's key", item.Key())
		}
		value, err := itemValue(item, nil)
		if err != nil {
			return err
		}
		return fn(key, value)
	})
}

// counter returns a counter of the catalog range, 0 when it was never set.
func (r reader) counter(name string) (uint64, error) {
	value, _, ok, err := r.get(counterKey(name))
	if err != nil || !ok {
		return 0, err
	}
	return decodeCounter(name, value)
}
