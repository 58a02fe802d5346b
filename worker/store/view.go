package store

import (
	"container/list"
	"context"
	"sync"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup/fault"
)

// View is the store at one moment: the newest commit that was acknowledged when
// it was opened. Its methods may be called from many goroutines. A View that is
// open keeps old versions from being discarded and dropped collections from
// being reaped: it must be closed.
type View struct {
	store  *Store
	ts     uint64
	reader reader
	opened *list.Element

	mu     sync.Mutex
	users  int
	closed bool
}

// View opens a snapshot at the newest acknowledged commit.
func (s *Store) View() (*View, error) {
	opened, err := s.tracker.openLatest()
	if err != nil {
		return nil, err
	}
	ts := opened.Value.(*snapshot).ts
	return &View{store: s, ts: ts, reader: reader{s.db.NewTransactionAt(ts, false)}, opened: opened}, nil
}

// ReadTs returns the commit ts the view stands at.
func (v *View) ReadTs() uint64 { return v.ts }

// Close releases the snapshot, when calls that are still running have ended.
// Later calls return an error. Closing twice does nothing.
func (v *View) Close() {
	v.mu.Lock()
	first := !v.closed
	v.closed = true
	last := first && v.users == 0
	v.mu.Unlock()
	if last {
		v.release()
	}
}

func (v *View) release() {
	v.reader.txn.Discard()
	v.store.tracker.release(v.opened, false)
}

// use keeps the snapshot open until done is called.
func (v *View) use() (done func(), err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return nil, fault.New(fault.Canceled, "read view", "it is closed")
	}
	v.users++
	return func() {
		v.mu.Lock()
		v.users--
		last := v.closed && v.users == 0
		v.mu.Unlock()
		if last {
			v.release()
		}
	}, nil
}

// stopped returns an error when ctx is done or the store is closing.
func (v *View) stopped(ctx context.Context, op string) error {
	select {
	case <-ctx.Done():
		return fault.New(fault.Canceled, op, "%w", context.Cause(ctx))
	case <-v.store.closing:
		return errClosed(op)
	default:
		return nil
	}
}

// Namespaces returns the namespaces that have collections, in ascending order.
func (v *View) Namespaces() ([]string, error) {
	done, err := v.use()
	if err != nil {
		return nil, err
	}
	defer done()
	options := badger.DefaultIteratorOptions
	options.PrefetchValues = false
	options.Prefix = catalogPrefix()
	it := v.reader.txn.NewIterator(options)
	defer it.Close()
	var names []string
	it.Seek(afterNamespace("")) // after the counters
	for it.Valid() {
		ref, ok := parseCatalogKey(it.Item().Key())
		if !ok {
			return nil, fault.New(fault.Corrupt, "read catalog record "+quote(string(it.Item().Key())),
				"its key names no collection")
		}
		names = append(names, ref.Namespace)
		it.Seek(afterNamespace(ref.Namespace))
	}
	return names, fault.Wrap(whole(it), "list namespaces")
}

// Collections returns the collections of a namespace, or of all when namespace
// is "", ordered by namespace and name.
func (v *View) Collections(namespace string) ([]Collection, error) {
	done, err := v.use()
	if err != nil {
		return nil, err
	}
	defer done()
	prefix := catalogPrefix()
	if namespace != "" {
		prefix = namespacePrefix(namespace)
	}
	var all []Collection
	err = v.reader.collections(prefix, func(c Collection) error {
		all = append(all, c)
		return nil
	})
	return all, fault.Wrap(err, "list collections")
}

// Lookup returns one collection. The error is of kind NotFound when there is none.
func (v *View) Lookup(namespace, collection string) (Collection, error) {
	done, err := v.use()
	if err != nil {
		return Collection{}, err
	}
	defer done()
	return v.lookup(Ref{namespace, collection})
}

func (v *View) lookup(ref Ref) (Collection, error) {
	ref, err := ref.normal()
	if err != nil {
		return Collection{}, err
	}
	key := catalogKey(ref)
	value, _, ok, err := v.reader.get(key)
	if err != nil {
		return Collection{}, fault.Wrap(err, "find collection %s", ref)
	}
	if !ok {
		return Collection{}, errNoCollection("find", ref)
	}
	c, _, err := decodeCollection(key, value)
	return c, err
}

// Get returns a record's value and the commit ts that put it. The error is of
// kind NotFound when there is no such record or no such collection.
func (v *View) Get(namespace, collection, key string) (value []byte, version uint64, err error) {
	done, err := v.use()
	if err != nil {
		return nil, 0, err
	}
	defer done()
	c, err := v.lookup(Ref{namespace, collection})
	if err != nil {
		return nil, 0, err
	}
	op := "get record " + quote(key) + " of " + c.Namespace + "/" + c.Name
	if flaw := keyFlaw(key); flaw != "" {
		return nil, 0, fault.New(fault.Usage, op, "%s", flaw)
	}
	value, version, ok, err := v.reader.get(recordKey(c.ID, key))
	if err == nil && !ok {
		err = fault.New(fault.NotFound, op, "there is none")
		return nil, 0, err
	}
	return value, version, fault.Wrap(err, "%s", op)
}

func errNoCollection(verb string, ref Ref) error {
	return fault.New(fault.NotFound, verb+" collection "+ref.String(), "it does not exist")
}
