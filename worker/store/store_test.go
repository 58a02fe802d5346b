package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup/fault"
)

func TestPutGetScan(t *testing.T) {
	s := newStore(t)
	ts := put(t, s, "cities", "b", `{"n": 2}`, "a", `1`, "c", `3`, "ca", `4`, "a\x00", `5`)
	if ts != s.MaxTs() {
		t.Errorf("committed at %d, newest is %d", ts, s.MaxTs())
	}
	v := openView(t, s)
	value, version, err := v.Get("", "cities", "b")
	if err != nil || string(value) != `{"n":2}` || version != ts {
		t.Errorf("got %s at %d: %v", value, version, err)
	}
	for _, c := range []struct {
		options ScanOptions
		want    string
	}{
		{ScanOptions{}, "a,a\x00,b,c,ca"},
		{ScanOptions{Prefix: "c"}, "c,ca"},
		{ScanOptions{Prefix: "a"}, "a,a\x00"},
		{ScanOptions{From: "b"}, "b,c,ca"},
		{ScanOptions{From: "b", To: "ca"}, "b,c"},
		{ScanOptions{After: "a"}, "a\x00,b,c,ca"},
		{ScanOptions{After: "b", From: "a", Limit: 1}, "c"},
		{ScanOptions{After: "a", From: "c"}, "c,ca"},
		{ScanOptions{Prefix: "c", After: "c"}, "ca"},
		{ScanOptions{Limit: 2}, "a,a\x00"},
		{ScanOptions{Prefix: "x"}, ""},
		{ScanOptions{To: "a"}, ""},
	} {
		var got []string
		err := v.Scan(context.Background(), "", "cities", c.options, func(key string, _ []byte, version uint64) error {
			if version != ts {
				t.Errorf("%q has version %d, want %d", key, version, ts)
			}
			got = append(got, key)
			return nil
		})
		if err != nil || strings.Join(got, ",") != c.want {
			t.Errorf("%+v: got %q, want %q: %v", c.options, strings.Join(got, ","), c.want, err)
		}
	}
}

func TestNamespacesAndCollections(t *testing.T) {
	s := newStore(t)
	if names, err := openView(t, s).Namespaces(); err != nil || len(names) != 0 {
		t.Errorf("an empty store has namespaces %q: %v", names, err)
	}
	ts := propose(t, s, &Batch{
		Creates: []Create{
			{Collection: "plain"}, {Namespace: "b", Collection: "x", Schema: json.RawMessage(`{ "a": "<b>" }`)},
			{Namespace: "a b", Collection: "x"}, {Namespace: "a", Collection: "y"}, {Namespace: "a", Collection: "x"},
		},
		Puts: []Put{{Namespace: "new", Collection: "made by put", Key: "k", Value: []byte("1")}},
	})
	v := openView(t, s)
	names, err := v.Namespaces()
	if want := []string{"a", "a b", "b", "default", "new"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("namespaces %q, want %q: %v", names, want, err)
	}
	all, err := v.Collections("")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	ids := map[uint64]bool{}
	for _, c := range all {
		got = append(got, c.Namespace+"/"+c.Name)
		ids[c.ID] = true
		if c.CreatedTs != ts || c.ID == 0 {
			t.Errorf("%+v", c)
		}
	}
	if want := []string{"a/x", "a/y", "a b/x", "b/x", "default/plain", "new/made by put"}; !slices.Equal(got, want) {
		t.Errorf("collections %q, want %q", got, want)
	}
	if len(ids) != len(all) {
		t.Errorf("ids %v are not distinct", ids)
	}
	one, err := v.Collections("a")
	if err != nil || len(one) != 2 {
		t.Errorf("namespace a has %v: %v", one, err)
	}
	c, err := v.Lookup("b", "x")
	if err != nil || string(c.Schema) != `{"a":"<b>"}` {
		t.Errorf("got %+v: %v", c, err)
	}
}

func TestCounts(t *testing.T) {
	s := newStore(t)
	propose(t, s, &Batch{Creates: []Create{{Collection: "empty"}}})
	put(t, s, "a", "1", "1", "2", "2", "3", "3")
	put(t, s, "b", "1", "1")
	put(t, s, "gone", "1", "1")
	held := openView(t, s) // so that gone is not reaped
	propose(t, s, &Batch{Drops: []Ref{{"", "gone"}}})
	remove(t, s, "a", "2")
	v := openView(t, s)
	counts, err := v.Counts(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	all, _ := v.Collections("")
	for _, c := range all {
		got[c.Name] = counts[c.ID]
	}
	want := map[string]int64{"empty": 0, "a": 2, "b": 1}
	if !maps.Equal(got, want) || len(counts) != 3 {
		t.Errorf("counts %v of %v, want %v", counts, got, want)
	}
	if n, err := v.Count(context.Background(), "", "a"); n != 2 || err != nil {
		t.Errorf("a counts %d: %v", n, err)
	}
	if n, err := held.Count(context.Background(), "", "gone"); n != 1 || err != nil {
		t.Errorf("before the drop, gone counts %d: %v", n, err)
	}
}

func TestErrorKinds(t *testing.T) {
	s := newStore(t)
	put(t, s, "c", "k", "1")
	before := s.MaxTs()
	ctx := context.Background()
	for _, c := range []struct {
		name  string
		batch *Batch
		kind  fault.Kind
		names string
	}{
		{"create existing", &Batch{Creates: []Create{{Collection: "c"}}}, fault.Exists, "default/c"},
		{"create twice", &Batch{Creates: []Create{{Collection: "n"}, {Collection: "n"}}}, fault.Exists, "default/n"},
		{"drop unknown", &Batch{Drops: []Ref{{"x", "d"}}}, fault.NotFound, "x/d"},
		{"drop twice", &Batch{Drops: []Ref{{"", "c"}, {"", "c"}}}, fault.NotFound, "default/c"},
		{"remove from unknown", &Batch{Removes: []Remove{{"", "u", "k"}}}, fault.NotFound, "default/u"},
		{"remove from dropped", &Batch{Drops: []Ref{{"", "c"}}, Removes: []Remove{{"", "c", "k"}}}, fault.NotFound, "default/c"},
		{"good put with bad remove", &Batch{Puts: []Put{{"", "c", "k", []byte("2")}}, Removes: []Remove{{"", "u", "k"}}}, fault.NotFound, "default/u"},
	} {
		_, err := s.Propose(ctx, c.batch)
		if !fault.Is(err, c.kind) || !strings.Contains(err.Error(), c.names) {
			t.Errorf("%s: got %v of kind %v, want %v naming %s", c.name, err, fault.KindOf(err), c.kind, c.names)
		}
	}
	if s.MaxTs() != before {
		t.Errorf("refused batches moved the commit ts from %d to %d", before, s.MaxTs())
	}
	v := openView(t, s)
	if got := contents(t, v, "", "c"); !maps.Equal(got, map[string]string{"k": "1"}) {
		t.Errorf("refused batches left %v", got)
	}
	_, err := v.Lookup("", "u")
	wantKind(t, err, fault.NotFound)
	_, _, err = v.Get("", "c", "nothing")
	wantKind(t, err, fault.NotFound)
	_, _, err = v.Get("", "u", "k")
	wantKind(t, err, fault.NotFound)
	_, _, err = v.Get("", "c", "")
	wantKind(t, err, fault.Usage)
	wantKind(t, v.Scan(ctx, "", "u", ScanOptions{}, nil), fault.NotFound)
	_, err = v.Lookup("", "a/b")
	wantKind(t, err, fault.Usage)
	if ts := remove(t, s, "c", "never was"); ts != before+1 {
		t.Errorf("removing a missing key committed at %d, want %d", ts, before+1)
	}
}

func TestViewStandsStill(t *testing.T) {
	s := newStore(t)
	put(t, s, "c", "a", "1", "b", "1")
	v := openView(t, s)
	put(t, s, "c", "a", "2", "n", "2")
	remove(t, s, "c", "b")
	flatten(t, s)
	if got := contents(t, v, "", "c"); !maps.Equal(got, map[string]string{"a": "1", "b": "1"}) {
		t.Errorf("the view now has %v", got)
	}
	if got := now(t, s, "c"); !maps.Equal(got, map[string]string{"a": "2", "n": "2"}) {
		t.Errorf("a new view has %v", got)
	}
	v.Close()
	v.Close()
	_, _, err := v.Get("", "c", "a")
	wantKind(t, err, fault.Canceled)
}

func TestScanStops(t *testing.T) {
	s := newStore(t)
	b := &Batch{}
	for i := range 2 * recordsPerCheck {
		b.Puts = append(b.Puts, Put{Collection: "c", Key: fmt.Sprint(i), Value: []byte("1")})
	}
	propose(t, s, b)
	ctx, cancel := context.WithCancel(context.Background())
	v := openView(t, s)
	n := 0
	err := v.Scan(ctx, "", "c", ScanOptions{}, func(string, []byte, uint64) error {
		n++
		cancel()
		return nil
	})
	if wantKind(t, err, fault.Canceled); n != recordsPerCheck || !errors.Is(err, context.Canceled) {
		t.Errorf("stopped after %d records with %v", n, err)
	}
	enough := errors.New("enough")
	err = v.Scan(context.Background(), "", "c", ScanOptions{}, func(string, []byte, uint64) error { return enough })
	if err != enough { //nolint:errorlint // the very value
		t.Errorf("the callback's error came back as %v", err)
	}
	// Closing the view inside the scan ends neither the scan nor the process.
	n = 0
	err = v.Scan(context.Background(), "", "c", ScanOptions{}, func(string, []byte, uint64) error {
		v.Close()
		n++
		return nil
	})
	if err != nil || n != 2*recordsPerCheck {
		t.Errorf("a scan saw %d records after Close: %v", n, err)
	}
}

// TestCloseWaitsForViews: Badger unmaps its files at Close; a reader would crash.
func TestCloseWaitsForViews(t *testing.T) {
	s, err := Open(testOptions(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	b := &Batch{}
	for i := range 2 * recordsPerCheck {
		b.Puts = append(b.Puts, Put{Collection: "c", Key: fmt.Sprint(i), Value: []byte("1")})
	}
	propose(t, s, b)
	v, err := s.View()
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan error)
	err = v.Scan(context.Background(), "", "c", ScanOptions{}, func(string, []byte, uint64) error {
		select {
		case <-s.closing:
		default:
			go func() { closed <- s.Close() }()
			<-s.closing
		}
		return nil
	})
	wantKind(t, err, fault.Canceled)
	if _, _, err := v.Get("", "c", "1"); err != nil {
		t.Errorf("an open view cannot be read while Close waits: %v", err)
	}
	if _, err := s.Propose(context.Background(), b); !fault.Is(err, fault.Canceled) {
		t.Errorf("Propose on a closing store: %v", err)
	}
	select {
	case err := <-closed:
		t.Fatalf("Close returned %v with an open view", err)
	default:
	}
	v.Close()
	if err := <-closed; err != nil {
		t.Error(err)
	}
	_, err = s.View()
	wantKind(t, err, fault.Canceled)
	if err := s.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func TestLocalRecords(t *testing.T) {
	o := testOptions(t.TempDir())
	s := openStore(t, o)
	ctx := context.Background()
	for _, key := range []string{"b", "a", "c"} {
		if err := s.PutLocal(ctx, "task", key, []byte("of "+key)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.PutLocal(ctx, "tasks", "other", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteLocal(ctx, "task", "c"); err != nil {
		t.Fatal(err)
	}
	both := &Batch{Puts: []Put{{Collection: "c", Key: "k", Value: []byte("1")}}, Removes: []Remove{{"", "unknown", "k"}}}
	both.PutLocal("task", "d", []byte("never"))
	_, err := s.Propose(ctx, both)
	wantKind(t, err, fault.NotFound)
	both.Removes = nil
	both.DeleteLocal("task", "b")
	both.local = both.local[1:]
	propose(t, s, both)
	closeStore(t, s)
	s = openStore(t, o)
	var got []string
	err = s.ScanLocal(ctx, "task", func(key string, value []byte) error {
		got = append(got, key+"="+string(value))
		return nil
	})
	if err != nil || !slices.Equal(got, []string{"a=of a"}) {
		t.Errorf("got %q: %v", got, err)
	}
	wantKind(t, s.ScanLocal(ctx, "no space", nil), fault.Usage)
}

func TestDamagedLargeValue(t *testing.T) {
	o := testOptions(t.TempDir())
	s := openStore(t, o)
	put(t, s, "c", "large", string(bigValue(2<<20)), "small", "1")
	files, err := filepath.Glob(filepath.Join(o.Dir, "*.vlog"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no value log: %v", err)
	}
	file, err := os.OpenFile(files[len(files)-1], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteAt([]byte("x"), 1<<20); err != nil {
		t.Fatal(err)
	}
	v := openView(t, s)
	value, _, err := v.Get("", "c", "large")
	if wantKind(t, err, fault.Corrupt); value != nil {
		t.Errorf("got a value of %d bytes", len(value))
	}
	wantKind(t, v.Scan(context.Background(), "", "c", ScanOptions{},
		func(string, []byte, uint64) error { return nil }), fault.Corrupt)
	if _, _, err := v.Get("", "c", "small"); err != nil {
		t.Errorf("the record beside it: %v", err)
	}
}

// TestValueLogSyncFailure: Badger only logs it; acknowledging would be a lie.
func TestValueLogSyncFailure(t *testing.T) {
	o := testOptions(t.TempDir())
	var logger badger.Logger
	o.tune = func(b *badger.Options) {
		small(b)
		logger = b.Logger
	}
	s := openStore(t, o)
	put(t, s, "c", "before", "1")
	logger.Errorf("Error while curlf sync: %v\n", errors.New("no space left on device"))
	_, err := s.Propose(context.Background(), &Batch{Puts: []Put{{Collection: "c", Key: "k", Value: []byte("1")}}})
	if err == nil || !strings.Contains(err.Error(), "no space left") || fault.HintOf(err) == "" {
		t.Errorf("got %v", err)
	}
	if got := now(t, s, "c"); !maps.Equal(got, map[string]string{"before": "1"}) {
		t.Errorf("the batch is visible: %v", got)
	}

	// The text above must be the one this Badger logs.
	open := runtime.FuncForPC(reflect.ValueOf(badger.Open).Pointer())
	path, _ := open.FileLine(open.Entry())
	source, err := os.ReadFile(filepath.Join(filepath.Dir(path), "value.go"))
	if err != nil || !strings.Contains(string(source), `Errorf("`+vlogSyncFailed) {
		t.Errorf("Badger's value.go no longer logs %q: %v", vlogSyncFailed, err)
	}
}

func TestFailedCommitStopsWrites(t *testing.T) {
	o := testOptions(t.TempDir())
	fail := false
	o.commit = func(txn *badger.Txn, ts uint64) error {
		if fail {
			fail = false
			return errors.New("input/output error")
		}
		return txn.CommitAt(ts, nil)
	}
	s := openStore(t, o)
	put(t, s, "c", "a", "1")
	fail = true // no commit is on its way: the committer is done with the last one
	for range 2 {
		_, err := s.Propose(context.Background(), &Batch{Puts: []Put{{Collection: "c", Key: "b", Value: []byte("1")}}})
		if err == nil || !strings.Contains(err.Error(), "input/output error") || !fault.Is(err, fault.Other) {
			t.Errorf("got %v", err)
		}
	}
	if got := now(t, s, "c"); !maps.Equal(got, map[string]string{"a": "1"}) {
		t.Errorf("reading after the failure: %v", got)
	}
	closeStore(t, s)
	s = openStore(t, o)
	put(t, s, "c", "b", "2")
}

// TestFullDisk: before Badger would die of a full disk, the store says no, and
// it goes on when there is room again.
func TestFullDisk(t *testing.T) {
	o := testOptions(t.TempDir())
	o.MinFreeBytes = 100 << 20
	var free atomic.Int64
	o.free = func() (int64, bool, error) { return free.Load(), true, nil }
	free.Store(1 << 30)
	s := openStore(t, o)
	put(t, s, "c", "k", "1")
	record, none := onePut("c", "k", "2"), &Batch{Removes: []Remove{{"", "c", "k"}}}
	for _, c := range []struct {
		free   int64
		batch  *Batch
		refuse bool
	}{
		{100<<20 - 1, record, true}, {101 << 20, record, false}, {25<<20 - 1, none, true}, {26 << 20, none, false}, {26 << 20, record, true},
	} {
		if c.batch == record {
			c.free += s.tableBytes()
		}
		free.Store(c.free)
		_, err := s.Propose(context.Background(), c.batch)
		if (err != nil) != c.refuse || err != nil && (!fault.Is(err, fault.NoSpace) || fault.HintOf(err) == "") {
			t.Errorf("with %d bytes free: %v", c.free, err)
		}
	}
	free.Store(1 << 30)
	put(t, s, "c", "k", "3")
	o.free = func() (int64, bool, error) { return 0, true, errors.New("no such device") }
	closeStore(t, s)
	s = openStore(t, o)
	if _, err := s.Propose(context.Background(), record); err == nil || !strings.Contains(err.Error(), "no such device") {
		t.Errorf("a disk that cannot be looked at: %v", err)
	}
	closeStore(t, s)
	o.MinFreeBytes = -1
	put(t, openStore(t, o), "c", "k", "4")
}
