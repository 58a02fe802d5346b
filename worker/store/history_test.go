package store

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup/backuptest"
	"github.com/brockdb/brock/backup/destination/destinationtest"
	"github.com/brockdb/brock/backup/manifest"
	"github.com/brockdb/brock/ee"
)

var (
	historySeed  = flag.Uint64("history.seed", 0, "of TestHistory, as a failed one has logged it; 0 means a new one")
	historySteps = flag.Int("history.steps", 80, "of TestHistory")
)

// TestHistory does to a store and to the backups of it, in random order, what
// may be done to them: changes, drops, compactions, restarts and clocks that
// jump; backups of all and of some collections to several places, with changes
// while they run, cut off, canceled, gone on with; copies, copies under another
// key, prunes; restores into the store itself. A model knows what was in the
// store at every commit. Every backup that is said to be at a place must be, no
// other may be, and each restores what the model says of its version.
func TestHistory(t *testing.T) {
	t.Parallel()
	seed := *historySeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("go test ./worker/store -run '^TestHistory$' -history.seed %d -history.steps %d", seed, *historySteps)
	h := newHistory(t, seed)
	for n := range *historySteps {
		h.number = n
		h.step()
	}
	h.reopen()
	for _, p := range h.places {
		h.look(p, nil)
		for _, i := range h.random.Perm(len(p.known))[:min(len(p.known), 6)] {
			h.restore(p, p.sorted()[i])
		}
	}
	t.Logf("%v", h.did)
	if *historySteps >= 1000 && (h.did["incremental"] == 0 || h.did["resumed"] == 0 || h.did["pruned"] == 0) {
		t.Errorf("too little was done")
	}
}

// moment is what the store holds from a commit on.
type moment struct {
	ts   uint64
	want model
}

// place is a destination and what must be there.
type place struct {
	name   string
	dir    string
	key    ee.Key
	faulty *destinationtest.Faulty
	known  map[string]manifest.Stored // by folder
}

func (p *place) sorted() []manifest.Stored {
	var all []manifest.Stored
	for _, m := range p.known {
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b manifest.Stored) int { return compareText(a.Path, b.Path) })
	return all
}

func compareText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// history is a store, a model of it, and the places of its backups.
type history struct {
	workload
	number int
	clock  *clock
	log    []moment
	places []*place
	did    map[string]int
	// dead, while a process is taken to have died, makes its commits fail.
	dead atomic.Pointer[destinationtest.Faulty]
}

func newHistory(t *testing.T, seed uint64) *history {
	h := &history{clock: newClock(), did: map[string]int{}}
	h.workload = workload{t: t, o: testOptions(t.TempDir()), m: model{}, random: rand.New(rand.NewPCG(seed, 7))}
	h.o.Now = h.clock.now
	h.o.commit = func(txn *badger.Txn, ts uint64) error {
		if d := h.dead.Load(); d != nil {
			if _, err := d.Stat(context.Background(), "brock"); errors.Is(err, destinationtest.ErrCrashed) {
				return err
			}
		}
		return txn.CommitAt(ts, nil)
	}
	h.s = openStore(t, h.o)
	for i, name := range []string{"plain", "first", "second", "third"} {
		p := &place{name: name, dir: filepath.Join(t.TempDir(), name), known: map[string]manifest.Stored{}}
		if i > 0 {
			p.key = backuptest.Key(t, 16)
		}
		if i == 3 {
			p.key = backuptest.Key(t, 32)
		}
		p.faulty = destinationtest.NewFaulty(backuptest.OpenDir(t, p.dir))
		h.places = append(h.places, p)
	}
	h.note()
	return h
}

// note writes down what the store holds from now on.
func (h *history) note() { h.log = append(h.log, moment{h.s.MaxTs(), h.m.clone()}) }

// at returns what the store held at a version.
func (h *history) at(ts uint64) model {
	for _, m := range slices.Backward(h.log) {
		if m.ts <= ts {
			return m.want
		}
	}
	return model{}
}

// place returns one at random, half of the time the same: series grow there.
func (h *history) place() *place { return h.places[[]int{0, 1, 1, 1, 2, 3}[h.random.IntN(6)]] }

func (h *history) fatal(format string, args ...any) {
	h.t.Helper()
	h.t.Fatalf("step %d: %s", h.number, fmt.Sprintf(format, args...))
}

func (h *history) step() {
	h.clock.forward(time.Duration(1+h.random.IntN(20*60)) * time.Minute)
	switch x := h.random.IntN(100); {
	case x < 40:
		h.change(1 + h.random.IntN(8))
	case x < 48:
		h.many()
	case x < 52:
		if _, err := h.s.RewriteValueLog(context.Background()); err != nil {
			h.t.Fatal(err)
		}
		flatten(h.t, h.s)
	case x < 56:
		h.reopen()
	case x < 58:
		h.clock.forward([]time.Duration{-3 * time.Hour, 9 * 24 * time.Hour}[h.random.IntN(2)])
	case x < 78:
		p := h.place()
		if h.backup(p) && h.random.IntN(3) > 0 { // it may go on
			h.change(h.random.IntN(3))
			h.backup(p)
		}
	case x < 85:
		h.copy()
	case x < 90:
		h.prune(h.place())
	case x < 95:
		h.online(h.place())
	default:
		p := h.place()
		if all := p.sorted(); len(all) > 0 {
			h.restore(p, all[h.random.IntN(len(all))])
		}
	}
}

// change makes some random batches.
func (h *history) change(batches int) {
	for range batches {
		h.propose()
		h.note()
	}
}

// many overwrites and removes many records of a collection.
func (h *history) many() {
	b, name := &Batch{}, h.collection()
	if h.m[name] == nil {
		h.m[name] = map[string]string{}
	}
	from, n := h.random.IntN(200), 20+h.random.IntN(120)
	for i := range n {
		key := fmt.Sprintf("m%03d", from+i)
		if _, there := h.m[name][key]; there && h.random.IntN(3) == 0 {
			b.Removes = append(b.Removes, Remove{Collection: name, Key: key})
			delete(h.m[name], key)
			continue
		}
		value := fmt.Sprintf("%q", backuptest.RandomText(h.random, h.random.IntN(1500)))
		b.Puts = append(b.Puts, Put{Collection: name, Key: key, Value: []byte(value)})
		h.m[name][key] = value
	}
	if len(b.Puts) == 0 { // else nothing may have made the collection
		b.Puts = []Put{{Collection: name, Key: "m", Value: []byte("1")}}
		h.m[name]["m"] = "1"
	}
	propose(h.t, h.s, b)
	h.note()
}

func (h *history) reopen() {
	closeStore(h.t, h.s)
	h.start()
}

func (h *history) start() {
	h.s = openStore(h.t, h.o)
	h.lastTs = max(h.lastTs, h.s.MaxTs())
	if got := everything(h.t, h.s); !equalModels(got, h.m) {
		h.fatal("after a restart the store holds other records")
	}
	if h.random.IntN(2) == 0 {
		flatten(h.t, h.s)
	}
}
