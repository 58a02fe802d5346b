package store

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/fault"
)

// versionsOf returns the versions of a stored key after since, delete markers
// as negative numbers: what an incremental backup sees.
func versionsOf(t testing.TB, s *Store, key []byte, since uint64) (versions []int64) {
	t.Helper()
	txn := s.db.NewTransactionAt(math.MaxUint64, false)
	defer txn.Discard()
	it := txn.NewKeyIterator(key, badger.IteratorOptions{SinceTs: since})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		version := int64(it.Item().Version())
		if it.Item().IsDeletedOrExpired() {
			version = -version
		}
		versions = append(versions, version)
	}
	return versions
}

// churn writes over the whole key range of the collection c, but for the key
// k07, and compacts all of it.
func churn(t testing.TB, s *Store, o Options) *Store {
	t.Helper()
	b := &Batch{}
	for i := range 64 {
		if i != 7 {
			b.Puts = append(b.Puts, Put{Collection: "c", Key: fmt.Sprintf("k%02d", i), Value: bigValue(1 << 10)})
		}
	}
	propose(t, s, b)
	return reopenCompacted(t, s, o)
}

// backUp goes through what the engine does with a source, without the data.
func backUp(t testing.TB, s *Store, destination, id string, num int) backup.Head {
	t.Helper()
	ctx := context.Background()
	snap, err := s.Source().Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	head := backup.Head{Destination: destination, BackupID: id, BackupNum: num,
		Digest: fmt.Sprintf("%s-%d-%d", id, num, snap.ReadTs), ReadTs: snap.ReadTs}
	if err := s.Source().Prepare(ctx, snap, head); err != nil {
		t.Fatal(err)
	}
	if err := s.Source().Committed(ctx, head); err != nil {
		t.Fatal(err)
	}
	return head
}

func extendable(t testing.TB, s *Store, head backup.Head) string {
	t.Helper()
	reason, err := s.Source().Extendable(context.Background(), head)
	if err != nil {
		t.Fatal(err)
	}
	return reason
}

// TestPinnedDeletesSurvive: the reason for all of this. A delete after a backup
// must be there for the next incremental, whatever compaction does and however
// often the store is opened; without the pin it is gone.
func TestPinnedDeletesSurvive(t *testing.T) {
	for _, pinned := range []bool{true, false} {
		t.Run(fmt.Sprintf("pinned=%v", pinned), func(t *testing.T) {
			o := testOptions(t.TempDir())
			s := openStore(t, o)
			put(t, s, "c", "k07", "1")
			s = churn(t, s, o)
			key := recordKey(lookup(t, s, "c").ID, "k07")
			since := s.MaxTs()
			var head backup.Head
			if pinned {
				head = backUp(t, s, "/b", "x", 1)
				since = head.ReadTs
			}
			deleted := int64(remove(t, s, "c", "k07"))
			s = churn(t, s, o)
			versions := versionsOf(t, s, key, since)
			if !pinned {
				if len(versions) != 0 {
					t.Fatalf("without a pin the marker is still there (%v): the test shows nothing", versions)
				}
				return
			}
			if !slices.Equal(versions, []int64{-deleted}) {
				t.Fatalf("after backup at %d and delete at %d the versions are %v", since, deleted, versions)
			}
			if reason := extendable(t, s, head); reason != "" {
				t.Errorf("not extendable: %s", reason)
			}
			// The next backup of the series has seen it: now it may go.
			next := backUp(t, s, "/b", "x", 2)
			s = churn(t, s, o)
			if versions := versionsOf(t, s, key, since); len(versions) != 0 {
				t.Errorf("the marker outlives its pin: %v", versions)
			}
			if reason := extendable(t, s, head); !strings.Contains(reason, "not the last one") {
				t.Errorf("the older head: %q", reason)
			}
			if reason := extendable(t, s, next); reason != "" {
				t.Errorf("the newer head: %q", reason)
			}
		})
	}
}

// TestOpenSnapshotHoldsDeletes: between Begin and Prepare no pin exists yet.
func TestOpenSnapshotHoldsDeletes(t *testing.T) {
	o := testOptions(t.TempDir())
	s := openStore(t, o)
	put(t, s, "c", "k07", "1")
	s = reopenCompacted(t, s, o)
	snap, err := s.Source().Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	deleted := remove(t, s, "c", "k07")
	compact := func(collection string) { // without closing: DropPrefix writes the memtable to a table
		t.Helper()
		put(t, s, collection, "k", "1")
		if err := s.db.DropPrefix(recordPrefix(lookup(t, s, collection).ID)); err != nil {
			t.Fatal(err)
		}
		flatten(t, s)
	}
	compact("d")
	key := recordKey(lookup(t, s, "c").ID, "k07")
	if item, err := snap.Txn.Get(key); err != nil || item.Version() > snap.ReadTs {
		t.Errorf("the snapshot lost the record: %v", err)
	}
	if versions := versionsOf(t, s, key, snap.ReadTs); !slices.Equal(versions, []int64{-int64(deleted)}) {
		t.Errorf("versions %v, deleted at %d", versions, deleted)
	}
	snap.Close()
	snap.Close()
	compact("e")
	compact("f")
	if versions := versionsOf(t, s, key, snap.ReadTs); len(versions) != 0 {
		t.Errorf("after the snapshot was closed there still are versions %v", versions)
	}
}

func TestBegin(t *testing.T) {
	s := newStore(t)
	propose(t, s, &Batch{Creates: []Create{{Namespace: "n", Collection: "empty"}}})
	put(t, s, "c", "", "1", "k", "1")
	put(t, s, "gone", "k", "1")
	v := openView(t, s)
	c, gone := lookup(t, s, "c"), lookup(t, s, "gone")
	propose(t, s, &Batch{Drops: []Ref{{"", "gone"}}})
	before := s.MaxTs()
	snap, err := s.Source().Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	if snap.ReadTs != before+1 || snap.ReadTs != s.MaxTs() || snap.MaxUID != 1 {
		t.Errorf("snapshot at %d after commit %d, max uid %d", snap.ReadTs, before, snap.MaxUID)
	}
	marker := localKey(spaceStore, keyMarker)
	if versions := versionsOf(t, s, marker, 0); !slices.Equal(versions, []int64{int64(snap.ReadTs)}) {
		t.Errorf("the marker has versions %v, want that of the snapshot, %d", versions, snap.ReadTs)
	}
	if len(snap.Collections) != 2 || snap.Collections[0].Name != "c" || snap.Collections[1].Namespace != "n" {
		t.Errorf("collections %+v", snap.Collections)
	}
	if len(snap.Skip) != 1 || !strings.HasPrefix(string(marker), string(snap.Skip[0])) {
		t.Errorf("skip %q", snap.Skip)
	}
	for _, x := range []struct {
		key []byte
		id  uint64
		ok  bool
	}{
		{recordKey(c.ID, "k"), c.ID, true}, {recordKey(gone.ID, "k"), gone.ID, false},
		{catalogKey(Ref{"default", "c"}), 0, false}, {marker, 0, false}, {nil, 0, false},
	} {
		if id, ok := snap.CollectionOf(x.key); ok != x.ok || ok && id != x.id {
			t.Errorf("%q belongs to %d, %v", x.key, id, ok)
		}
	}
	v.Close()
}

func TestExtendable(t *testing.T) {
	o := testOptions(t.TempDir())
	clock := newClock()
	o.Now = clock.now
	s := openStore(t, o)
	ctx := context.Background()
	put(t, s, "c", "k", "1")
	reopen := func() {
		closeStore(t, s)
		s = openStore(t, o)
	}

	unknown := backup.Head{Destination: "/b", BackupID: "never", BackupNum: 1, Digest: "d", ReadTs: 1}
	if reason := extendable(t, s, unknown); !strings.Contains(reason, "no record of having made backup never") {
		t.Errorf("unknown series: %q", reason)
	}
	first := backUp(t, s, "/b", "x", 1)
	reopen()
	if reason := extendable(t, s, first); reason != "" {
		t.Errorf("after a restart: %q", reason)
	}
	other := first
	other.Digest = "another"
	if reason := extendable(t, s, other); !strings.Contains(reason, "not the last one") {
		t.Errorf("another manifest of the same series: %q", reason)
	}

	// Died between storing the manifest and being told so.
	snap, err := s.Source().Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	second := backup.Head{Destination: "/b", BackupID: "x", BackupNum: 2, Digest: "second", ReadTs: snap.ReadTs}
	if err := s.Source().Prepare(ctx, snap, second); err != nil {
		t.Fatal(err)
	}
	snap.Close()
	reopen()
	if pins := s.Pins(); len(pins) != 1 || pins[0].ReadTs != first.ReadTs || pins[0].BackupNum != 1 {
		t.Errorf("while the second is pending, pins are %+v", pins)
	}
	if reason := extendable(t, s, first); reason != "" { // the manifest was not stored after all
		t.Errorf("the first, while the second is pending: %q", reason)
	}
	if reason := extendable(t, s, second); reason != "" { // it was
		t.Errorf("the second, pending: %q", reason)
	}
	if pins := s.Pins(); len(pins) != 1 || pins[0].ReadTs != second.ReadTs || pins[0].BackupNum != 2 || !pins[0].Since.Equal(clock.now()) {
		t.Errorf("with the second promoted, pins are %+v", pins)
	}
	if reason := extendable(t, s, first); reason == "" {
		t.Error("the first can still be extended when the second was")
	}
	if err := s.Source().Committed(ctx, second); err != nil {
		t.Errorf("saying it again: %v", err)
	}

	// A new series at the same destination ends the old one; elsewhere it does not.
	elsewhere := backUp(t, s, "/elsewhere", "y", 1)
	if reason := extendable(t, s, second); reason != "" {
		t.Errorf("after a series elsewhere: %q", reason)
	}
	backUp(t, s, "/b", "z", 1)
	if reason := extendable(t, s, second); !strings.Contains(reason, "no record") {
		t.Errorf("after a new series there: %q", reason)
	}
	if reason := extendable(t, s, elsewhere); reason != "" {
		t.Errorf("the series elsewhere: %q", reason)
	}
	if pins := s.Pins(); len(pins) != 2 || pins[0].BackupID != "z" || pins[1].BackupID != "y" {
		t.Errorf("pins %+v", pins)
	}
}

func TestPinsGrowOld(t *testing.T) {
	o := testOptions(t.TempDir())
	clock := newClock()
	o.Now = clock.now
	s := openStore(t, o)
	put(t, s, "c", "k", "1")
	head := backUp(t, s, "/b", "x", 1)
	tick := func() { // the pins are looked at after a commit, and dropped in the next one
		put(t, s, "c", "k", "1")
		put(t, s, "c", "k", "2")
		put(t, s, "c", "k", "3")
	}

	clock.forward(DefaultPinMaxAge - time.Second)
	tick()
	if reason := extendable(t, s, head); reason != "" {
		t.Errorf("a second before its time: %q", reason)
	}
	// While a backup is being made the pin it may stand on is not dropped.
	snap, err := s.Source().Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	clock.forward(time.Hour)
	tick()
	if reason := extendable(t, s, head); reason != "" {
		t.Errorf("during a backup: %q", reason)
	}
	snap.Close()
	tick()
	const want = "its delete pin was dropped after 8 days"
	if reason := extendable(t, s, head); reason != want {
		t.Errorf("got %q", reason)
	}
	if pins := s.Pins(); len(pins) != 1 || pins[0].Dropped != want || pins[0].ReadTs != 0 {
		t.Errorf("pins %+v", pins)
	}
	if s.tracker.discardTs < head.ReadTs {
		t.Errorf("discard ts %d is still held below %d", s.tracker.discardTs, head.ReadTs)
	}
	closeStore(t, s)
	s = openStore(t, o)
	if reason := extendable(t, s, head); reason != want {
		t.Errorf("after a restart: %q", reason)
	}

	// One that grew old while the store was closed is dropped when it opens.
	next := backUp(t, s, "/b", "y", 1)
	closeStore(t, s)
	clock.forward(8 * 24 * time.Hour)
	s = openStore(t, o)
	tick()
	if reason := extendable(t, s, next); reason != want {
		t.Errorf("grown old while closed: %q", reason)
	}
	// And never, when told so.
	closeStore(t, s)
	o.PinMaxAge = -1
	s = openStore(t, o)
	last := backUp(t, s, "/b", "z", 1)
	clock.forward(1000 * 24 * time.Hour)
	tick()
	if reason := extendable(t, s, last); reason != "" {
		t.Errorf("with pins for ever: %q", reason)
	}
}

// TestPrepareRefuses: an incremental whose parent's pin is gone lost deletes.
func TestPrepareRefuses(t *testing.T) {
	o := testOptions(t.TempDir())
	clock := newClock()
	o.Now = clock.now
	s := openStore(t, o)
	ctx := context.Background()
	put(t, s, "c", "k", "1")
	first := backUp(t, s, "/b", "x", 1)
	old := backUp(t, s, "/old", "o", 1)
	clock.forward(8 * 24 * time.Hour)
	put(t, s, "c", "k", "2")
	put(t, s, "c", "k", "3")
	snap, err := s.Source().Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	head := func(id string, num int) backup.Head {
		return backup.Head{Destination: "/b", BackupID: id, BackupNum: num, Digest: "d", ReadTs: snap.ReadTs}
	}
	for _, c := range []struct {
		name string
		head backup.Head
		kind fault.Kind
		want string
	}{
		{"pin grown old", head(first.BackupID, 2), fault.Mixed, "dropped after 8 days"},
		{"unknown series", head("unknown", 2), fault.Mixed, "is gone"},
		{"no id", head("", 1), fault.Usage, "id"},
		{"of another snapshot", old, fault.Usage, "not of the snapshot"},
	} {
		err := s.Source().Prepare(ctx, snap, c.head)
		if !fault.Is(err, c.kind) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v", c.name, err)
		}
	}
	wantKind(t, s.Source().Committed(ctx, head("unknown", 1)), fault.NotFound)
	if err := s.Source().Prepare(ctx, snap, head("new", 1)); err != nil {
		t.Errorf("a full: %v", err)
	}
	if err := s.Source().Prepare(ctx, snap, head("new", 3)); !fault.Is(err, fault.Mixed) {
		t.Errorf("a number left out: %v", err)
	}
}

// TestDiscardTs: it never passes what is needed and never falls.
func TestDiscardTs(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	var told uint64
	tr := newTracker(10, func(ts uint64) {
		if ts <= told {
			t.Errorf("seed %d: told %d after %d", seed, ts, told)
		}
		told = ts
	}, -1)
	tr.publish(10, nil)
	type open struct {
		ts    uint64
		close func()
	}
	var views []open
	for range 5000 {
		switch random.IntN(5) {
		case 0:
			e, err := tr.openLatest()
			if err != nil {
				t.Fatal(err)
			}
			views = append(views, open{tr.lastTs, func() { tr.release(e, false) }})
		case 1:
			if len(views) > 0 {
				i := random.IntN(len(views))
				views[i].close()
				views = slices.Delete(views, i, i+1)
			}
		case 2:
			id := fmt.Sprint(random.IntN(3))
			state := &seriesState{BackupID: id, Committed: &headState{ReadTs: tr.lastTs}}
			_, apply, err := tr.seriesChange([]*seriesState{state}, nil)
			if err != nil {
				t.Fatal(err)
			}
			tr.publish(tr.lastTs, []func(uint64){func(uint64) { apply() }})
		default:
			tr.publish(tr.lastTs+1, nil)
		}
		limit := tr.lastTs
		for _, v := range views {
			limit = min(limit, v.ts)
		}
		for _, state := range tr.series {
			limit = min(limit, state.Committed.ReadTs)
		}
		if told != limit {
			t.Fatalf("seed %d: discard ts %d, needed from %d on", seed, told, limit)
		}
	}
}

func FuzzDecodeState(f *testing.F) {
	f.Add("x", []byte(`{"backup_id":"x","destination":"/b","committed":{"backup_num":1,"digest":"d","read_ts":7,"at":"2026-11-20T12:00:00Z"}}`))
	f.Add("7", []byte(`{"dropped_ts":9}`))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		if s, err := decodeSeries(key, value); err == nil {
			w, err := encodeSeries(s)
			if err != nil {
				t.Fatal(err)
			}
			again, err := decodeSeries(key, w.value)
			if err != nil || again.BackupID != s.BackupID {
				t.Fatalf("%q became %q: %v", value, w.value, err)
			}
			s.pin()
		}
		if r, err := decodeReap(key, value); err == nil {
			_, local, _ := parseLocalKey(r.write().key)
			if again, err := decodeReap(local, r.write().value); err != nil || again != r {
				t.Fatalf("%+v became %+v: %v", r, again, err)
			}
		}
	})
}
