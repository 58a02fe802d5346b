package store

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup/fault"
)

// testLogger collects what is logged.
type testLogger struct {
	mu    sync.Mutex
	lines []string
}

func (l *testLogger) Warningf(format string, args ...any) { l.add("warning: "+format, args...) }
func (l *testLogger) Errorf(format string, args ...any)   { l.add("error: "+format, args...) }

func (l *testLogger) add(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

// small makes memtables and tables small, so that little data fills levels, and
// files small, so that opening is quick.
func small(o *badger.Options) {
	o.MemTableSize = 8 << 20
	o.BaseTableSize = 1 << 20
	o.ValueLogFileSize = 16 << 20
	o.NumCompactors = 2
	o.NumLevelZeroTables = 1
	o.MetricsEnabled = false
}

func testOptions(dir string) Options {
	return Options{Dir: dir, Group: 1, Logger: &testLogger{}, BlockCacheBytes: 4 << 20,
		tune: small, reapDelay: time.Millisecond}
}

// openStore opens a store that is closed when the test ends.
func openStore(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeStore(t, s) })
	return s
}

func newStore(t testing.TB) *Store {
	t.Helper()
	return openStore(t, testOptions(t.TempDir()))
}

func closeStore(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func propose(t testing.TB, s *Store, b *Batch) uint64 {
	t.Helper()
	ts, err := s.Propose(context.Background(), b)
	if err != nil {
		t.Fatal(err)
	}
	return ts
}

// reopenCompacted closes the store, which writes the memtable to a table, opens
// it again and compacts all of it into one level.
func reopenCompacted(t testing.TB, s *Store, o Options) *Store {
	t.Helper()
	closeStore(t, s)
	s = openStore(t, o)
	flatten(t, s)
	return s
}

// flatten compacts all tables into one level. Badger's Flatten and DropPrefix,
// which reaps, must not meet.
func flatten(t testing.TB, s *Store) {
	t.Helper()
	s.maintenance.Lock()
	defer s.maintenance.Unlock()
	if err := s.db.Flatten(1); err != nil {
		t.Fatal(err)
	}
}

// clock is a time that tests move.
type clock struct{ ns atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.ns.Store(time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.ns.Load()).UTC() }
func (c *clock) forward(d time.Duration) { c.ns.Add(int64(d)) }

// put stores records of collection c, given as key, value, key, value…
func put(t testing.TB, s *Store, c string, pairs ...string) uint64 {
	t.Helper()
	b := &Batch{}
	for i := 0; i < len(pairs); i += 2 {
		b.Puts = append(b.Puts, Put{Collection: c, Key: pairs[i], Value: []byte(pairs[i+1])})
	}
	return propose(t, s, b)
}

func remove(t testing.TB, s *Store, c string, keys ...string) uint64 {
	t.Helper()
	b := &Batch{}
	for _, key := range keys {
		b.Removes = append(b.Removes, Remove{Collection: c, Key: key})
	}
	return propose(t, s, b)
}

func openView(t testing.TB, s *Store) *View {
	t.Helper()
	v, err := s.View()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

// contents returns the records of a collection as the view has them.
func contents(t testing.TB, v *View, namespace, collection string) map[string]string {
	t.Helper()
	records := map[string]string{}
	err := v.Scan(context.Background(), namespace, collection, ScanOptions{},
		func(key string, value []byte, _ uint64) error {
			records[key] = string(value)
			return nil
		})
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// now returns the records of a collection of the default namespace.
func now(t testing.TB, s *Store, collection string) map[string]string {
	t.Helper()
	v, err := s.View()
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	return contents(t, v, "", collection)
}

func wantKind(t testing.TB, err error, kind fault.Kind) {
	t.Helper()
	if !fault.Is(err, kind) {
		t.Errorf("got error %v of kind %v, want kind %v", err, fault.KindOf(err), kind)
	}
}
