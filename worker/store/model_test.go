package store

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/brockdb/brock/backup/fault"
)

// model is what a store should hold: collections by name, records by key.
type model map[string]map[string]string

func (m model) clone() model {
	c := make(model, len(m))
	for name, records := range m {
		c[name] = maps.Clone(records)
	}
	return c
}

// heldView is an open view and what it must go on showing.
type heldView struct {
	view *View
	want model
}

// workload does the same to a store and to a model.
type workload struct {
	t      *testing.T
	o      Options
	s      *Store
	m      model
	views  []heldView
	random *rand.Rand
	lastTs uint64
}

func (w *workload) collection() string { return fmt.Sprint("c", w.random.IntN(5)) }
func (w *workload) key() string        { return fmt.Sprint("k", w.random.IntN(30)) }

// batch makes a random batch and what it comes to, or the kind of its refusal.
func (w *workload) batch() (b *Batch, after model, refusal fault.Kind) {
	b, after = &Batch{}, w.m.clone()
	exists := func(name string) bool { _, ok := after[name]; return ok }
	if w.random.IntN(6) == 0 {
		name := w.collection()
		b.Drops = append(b.Drops, Ref{"", name})
		if !exists(name) {
			return b, nil, fault.NotFound
		}
		delete(after, name)
	}
	if w.random.IntN(6) == 0 {
		name := w.collection()
		b.Creates = append(b.Creates, Create{Collection: name})
		if exists(name) {
			return b, nil, fault.Exists
		}
		after[name] = map[string]string{}
	}
	put := map[recordRef]bool{}
	for range w.random.IntN(6) {
		name, key := w.collection(), w.key()
		value := fmt.Sprint(w.random.Uint64())
		if w.random.IntN(150) == 0 {
			value = string(bigValue(valueThreshold + w.random.IntN(1000)))
		}
		b.Puts = append(b.Puts, Put{Collection: name, Key: key, Value: []byte(value)})
		if !exists(name) {
			after[name] = map[string]string{}
		}
		after[name][key] = value
		put[recordRef{Ref{"", name}, key}] = true
	}
	for range w.random.IntN(4) {
		name, key := w.collection(), w.key()
		if put[recordRef{Ref{"", name}, key}] {
			continue
		}
		b.Removes = append(b.Removes, Remove{Collection: name, Key: key})
		if !exists(name) {
			return b, nil, fault.NotFound
		}
		delete(after[name], key)
	}
	if len(b.Drops)+len(b.Creates)+len(b.Puts)+len(b.Removes) == 0 {
		return b, nil, fault.Usage
	}
	return b, after, fault.Other
}

func (w *workload) propose() {
	b, after, refusal := w.batch()
	ts, err := w.s.Propose(w.t.Context(), b)
	switch {
	case refusal != fault.Other:
		wantKind(w.t, err, refusal)
	case err != nil:
		w.t.Fatal(err)
	case ts <= w.lastTs:
		w.t.Fatalf("commit %d came after %d", ts, w.lastTs)
	default:
		w.m, w.lastTs = after, ts
	}
}

func (w *workload) check(v *View, want model) {
	w.t.Helper()
	all, err := v.Collections("default")
	if err != nil {
		w.t.Fatal(err)
	}
	got := model{}
	for _, c := range all {
		got[c.Name] = contents(w.t, v, "", c.Name)
	}
	if !maps.EqualFunc(got, want, maps.Equal) {
		for name := range want {
			if !maps.Equal(got[name], want[name]) {
				w.t.Errorf("%s: %d records, want %d", name, len(got[name]), len(want[name]))
			}
		}
		w.t.Fatalf("the store differs from the model at %d: %d collections, want %d", v.ReadTs(), len(got), len(want))
	}
}

func (w *workload) closeViews() {
	for _, h := range w.views {
		w.check(h.view, h.want)
		h.view.Close()
	}
	w.views = nil
}

func (w *workload) reopen() {
	w.closeViews()
	w.s = reopenCompacted(w.t, w.s, w.o)
}

func (w *workload) step() {
	switch w.random.IntN(30) {
	case 0:
		w.reopen()
	case 1:
		flatten(w.t, w.s)
	case 2, 3:
		w.views = append(w.views, heldView{openView(w.t, w.s), w.m.clone()})
	case 4, 5:
		if len(w.views) > 0 {
			i := w.random.IntN(len(w.views))
			w.check(w.views[i].view, w.views[i].want)
			w.views[i].view.Close()
			w.views = slices.Delete(w.views, i, i+1)
		}
	case 6:
		v := openView(w.t, w.s)
		w.check(v, w.m)
		v.Close()
	default:
		w.propose()
	}
}

// TestModel: a random workload leaves what a simple map would hold, for views
// of now and of then, whatever was compacted, dropped, reaped or reopened.
func TestModel(t *testing.T) {
	for _, seed := range []uint64{1, 2, rand.Uint64()} {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			t.Parallel()
			w := &workload{t: t, o: testOptions(t.TempDir()), m: model{}, random: rand.New(rand.NewPCG(seed, 0))}
			w.s = openStore(t, w.o)
			for range 250 {
				w.step()
			}
			w.reopen()
			w.views = []heldView{{openView(t, w.s), w.m}}
			w.closeViews()
		})
	}
}
