package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup/fault"
)

func begin(t testing.TB, s *Store, maxUID uint64, incoming ...Incoming) *Restoration {
	t.Helper()
	r, err := s.BeginRestoration(t.Context(), incoming, maxUID)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func load(t testing.TB, r *Restoration, into int, pairs ...string) {
	t.Helper()
	var records []Loaded
	for i := 0; i < len(pairs); i += 2 {
		records = append(records, Loaded{into, pairs[i], []byte(pairs[i+1])})
	}
	if err := r.Load(t.Context(), records); err != nil {
		t.Fatal(err)
	}
}

// collectionNow returns a collection as it is now, or false.
func collectionNow(t testing.TB, s *Store, name string) (Collection, bool) {
	t.Helper()
	v, err := s.View()
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	c, err := v.Lookup("", name)
	if err != nil && !fault.Is(err, fault.NotFound) {
		t.Fatal(err)
	}
	return c, err == nil
}

func TestRestoration(t *testing.T) {
	s := newStore(t)
	put(t, s, "old", "a", "1", "b", "2")
	old, _ := collectionNow(t, s, "old")
	before := s.MaxTs()

	r := begin(t, s, 1000, Incoming{Collection: "new", Schema: json.RawMessage(`{"x":1}`)}, Incoming{Collection: "old", Overwrite: true})
	if c, ok := collectionNow(t, s, "new"); !ok || !c.Restoring || string(c.Schema) != `{"x":1}` {
		t.Errorf("while records arrive: %+v %v", c, ok)
	}
	if c, _ := collectionNow(t, s, "old"); c.Restoring || c.ID != old.ID {
		t.Errorf("what will be replaced: %+v", c)
	}
	load(t, r, 0, "k", `"v"`)
	load(t, r, 1, "b", "3", "c", "4")
	if got := now(t, s, "new"); !maps.Equal(got, map[string]string{"k": `"v"`}) {
		t.Errorf("it reads as %v", got)
	}
	put(t, s, "old", "z", "9") // it is served until the switch, and then replaced
	if got := now(t, s, "old"); !maps.Equal(got, map[string]string{"a": "1", "b": "2", "z": "9"}) {
		t.Errorf("before the switch: %v", got)
	}
	for name, b := range map[string]*Batch{
		"put":    {Puts: []Put{{Collection: "new", Key: "x", Value: []byte("1")}}},
		"remove": {Removes: []Remove{{Collection: "new", Key: "x"}}},
		"drop":   {Drops: []Ref{{"", "new"}}},
	} {
		_, err := s.Propose(t.Context(), b)
		if wantKind(t, err, fault.Locked); t.Failed() {
			t.Errorf("%s", name)
		}
	}
	if _, err := s.BeginRestoration(t.Context(), []Incoming{{Collection: "old", Overwrite: true}}, 0); !fault.Is(err, fault.Locked) {
		t.Errorf("twice into one collection: %v", err)
	}
	ts, err := r.Finish(t.Context())
	if err != nil || ts <= before {
		t.Fatal(ts, err)
	}
	if c, _ := collectionNow(t, s, "new"); c.Restoring || c.CreatedTs != ts {
		t.Errorf("at the end: %+v", c)
	}
	if got := now(t, s, "old"); !maps.Equal(got, map[string]string{"b": "3", "c": "4"}) {
		t.Errorf("after the switch: %v", got)
	}
	if got := put(t, s, "new", "", "true"); got == 0 || s.MaxUID() != 1001 {
		t.Errorf("uids go on at %d", s.MaxUID())
	}
	if err := r.Load(t.Context(), []Loaded{{0, "late", []byte("1")}}); !fault.Is(err, fault.Canceled) {
		t.Errorf("after the end: %v", err)
	}
	if _, err := r.Finish(t.Context()); !fault.Is(err, fault.Canceled) {
		t.Errorf("a second end: %v", err)
	}
}

func TestRestorationRefused(t *testing.T) {
	s := newStore(t)
	put(t, s, "taken", "a", "1")
	before := s.MaxTs()
	tests := []struct {
		incoming []Incoming
		maxUID   uint64
		kind     fault.Kind
	}{
		{nil, 0, fault.Usage},
		{[]Incoming{{Collection: "x"}, {Collection: "taken"}, {Collection: "y"}}, 0, fault.Exists},
		{[]Incoming{{Collection: "x"}, {Collection: "x"}}, 0, fault.Usage},
		{[]Incoming{{Collection: "x/y"}}, 0, fault.Usage},
		{[]Incoming{{Collection: "x"}}, 1 << 63, fault.Corrupt},
	}
	for _, test := range tests {
		_, err := s.BeginRestoration(t.Context(), test.incoming, test.maxUID)
		wantKind(t, err, test.kind)
	}
	if _, ok := collectionNow(t, s, "x"); ok || s.MaxTs() != before {
		t.Error("what was refused left something")
	}
	r := begin(t, s, 0, Incoming{Collection: "x"})
	for _, record := range []Loaded{{0, "", []byte("1")}, {0, "k", []byte("{")}, {0, "k", nil}, {0, "\xff", []byte("1")}} {
		if err := r.Load(t.Context(), []Loaded{{0, "good", []byte("1")}, record}); !fault.Is(err, fault.Corrupt) {
			t.Errorf("%q: %v", record.Key, err)
		}
	}
	if got := now(t, s, "x"); len(got) != 0 {
		t.Errorf("of a refused batch stayed %v", got)
	}
	if err := r.Abort(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, ok := collectionNow(t, s, "x"); ok {
		t.Error("it is there after it was aborted")
	}
	put(t, s, "x", "free", "1") // the name is free again
}

// TestRestorationCrashes lets the disk fail at every commit of random
// restorations and opens what is left: each restoration is there as a whole or
// not at all, what it would have replaced is untouched unless it is there, and
// nothing is marked as being restored.
func TestRestorationCrashes(t *testing.T) {
	for failAt := 2; failAt < 26; failAt++ {
		random := rand.New(rand.NewPCG(7, uint64(failAt)))
		o := testOptions(t.TempDir())
		commits := 0
		o.commit = func(txn *badger.Txn, ts uint64) error {
			if commits++; commits >= failAt {
				return errors.New("the disk is gone")
			}
			return txn.CommitAt(ts, nil)
		}
		s, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		states := randomRestorations(s, random)
		closeStore(t, s)

		o.commit = nil
		s, err = Open(o)
		if err != nil {
			t.Fatal(err)
		}
		got := everything(t, s)
		if !slices.ContainsFunc(states, func(m model) bool { return equalModels(got, m) }) {
			t.Errorf("crash at commit %d: %v is none of %v", failAt, got, states)
		}
		if len(s.committer.restoring)+len(s.committer.incoming) != 0 {
			t.Errorf("crash at commit %d: something is being restored", failAt)
		}
		// The name is free for the next one.
		r, err := s.BeginRestoration(t.Context(), []Incoming{{Collection: "c0", Overwrite: true}}, 0)
		if err == nil {
			err = r.Abort(t.Context())
		}
		if err != nil {
			t.Errorf("crash at commit %d: restore again: %v", failAt, err)
		}
		closeStore(t, s)
	}
}

func equalModels(a, b model) bool {
	return maps.EqualFunc(a, b, func(x, y map[string]string) bool { return maps.Equal(x, y) })
}

// everything reads all collections.
func everything(t testing.TB, s *Store) model {
	t.Helper()
	v, err := s.View()
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	all, err := v.Collections("")
	if err != nil {
		t.Fatal(err)
	}
	m := model{}
	for _, c := range all {
		if c.Restoring {
			t.Errorf("%s is marked as being restored", c.Name)
		}
		m[c.Name] = contents(t, v, c.Namespace, c.Name)
	}
	return m
}

// randomRestorations restores until a commit fails. It returns the states that
// the store may be in then: that before the last step and that after it.
func randomRestorations(s *Store, random *rand.Rand) []model {
	m := model{}
	ctx := context.Background()
	for round := 0; ; round++ {
		after := m.clone()
		var incoming []Incoming
		var records []Loaded
		for i := range 1 + random.IntN(3) {
			name := fmt.Sprint("c", i)
			incoming = append(incoming, Incoming{Collection: name, Overwrite: true})
			after[name] = map[string]string{}
			for range random.IntN(4) {
				key, value := fmt.Sprint("k", random.IntN(5)), fmt.Sprint(round)
				after[name][key] = value
				records = append(records, Loaded{i, key, []byte(value)})
			}
		}
		r, err := s.BeginRestoration(ctx, incoming, 0)
		if err != nil {
			return []model{m}
		}
		for _, record := range records { // a commit each
			if err := r.Load(ctx, []Loaded{record}); err != nil {
				return []model{m}
			}
		}
		if random.IntN(4) == 0 {
			if err := r.Abort(ctx); err != nil {
				return []model{m}
			}
			continue
		}
		if _, err := r.Finish(ctx); err != nil {
			return []model{m, after}
		}
		m = after
	}
}
