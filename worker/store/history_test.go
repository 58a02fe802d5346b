package store

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/archive"
	"github.com/brockdb/brock/backup/backuptest"
	"github.com/brockdb/brock/backup/destination/destinationtest"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
	"github.com/brockdb/brock/backup/prune"
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

// selection chooses some collections now and then, the same words often.
func (h *history) selection(p *place) (s manifest.Selection) {
	switch words := []string{"c1", "c2"}; {
	case p.name == "second" && h.random.IntN(8) > 0:
		s.Include = words
	case h.random.IntN(12) == 0:
		s.Exclude = words
	}
	return s
}

// job is a backup to a place, made in one of many ways.
func (h *history) job(p *place, selection manifest.Selection) *backup.Backup {
	b := &backup.Backup{
		Source: h.s.Source(), ForceFull: h.random.IntN(8) == 0, Key: p.key, Selection: selection, Now: h.clock.now,
		ChunkBytes: 4 << 10 << h.random.IntN(4), Workers: 1 + h.random.IntN(3), Level: archive.NoCompression,
		NoteInterval: []time.Duration{1, 1, 0, -1}[h.random.IntN(4)], Progress: new(backup.Progress),
	}
	if h.random.IntN(3) > 0 {
		b.PartBytes = 8 << 10
	}
	return b
}

// backup takes one at a place: undisturbed, canceled, beside changes, or by a
// process that dies. It reports whether it was cut off.
func (h *history) backup(p *place) (cut bool) {
	b := h.job(p, h.selection(p))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	hook := &backuptest.Hook{Destination: p.faulty}
	b.Destination = hook
	kind := []string{"quiet", "quiet", "beside changes", "canceled", "dies", "fails"}[h.random.IntN(6)]
	calls := 20 + h.random.IntN([]int{40, 160}[h.random.IntN(2)]) // most come before the first part
	switch kind {
	case "beside changes", "canceled":
		var created atomic.Int64
		hook.BeforeCreate = func(name string) {
			if filepath.Ext(name) != ".backup" && filepath.Base(name) != manifest.FileName || created.Add(1) != int64(1+calls%4) {
				return
			}
			if kind == "canceled" {
				cancel()
				return
			}
			h.change(3)
		}
	case "dies":
		p.faulty.CrashAt(calls)
		h.dead.Store(p.faulty)
	case "fails":
		p.faulty.Add(destinationtest.Rule{Nth: calls, Late: calls%2 == 0, Forever: calls%3 == 0, Err: errors.New("the storage is gone")})
	}
	made, err := b.Run(ctx)
	h.healed(p)
	h.did[kind]++
	if b.Progress.Resumed().Parts > 0 {
		h.did["resumed"]++
	}
	if why := b.Progress.Resumed().Afresh; why != "" {
		h.did["afresh: "+why]++
	}
	h.settle(p, b, kind, made, err)
	return made == nil && (kind == "dies" || kind == "fails")
}

// settle holds what a backup said of itself against what is at the place.
func (h *history) settle(p *place, b *backup.Backup, kind string, made *manifest.Manifest, err error) {
	if err == nil {
		h.did[made.Type]++
	}
	quiet := kind == "quiet" || kind == "beside changes"
	if quiet && err != nil && made != nil {
		h.fatal("backup %s to %s is stored, and: %v", made.Path, p.name, err)
	}
	refused := fault.Is(err, fault.Usage) || fault.Is(err, fault.NotFound) && !b.Selection.IsZero()
	if quiet && err != nil && !refused {
		h.fatal("a backup to %s failed: %v", p.name, err)
	}
	fresh := h.look(p, func(m manifest.Stored) bool { return m.DBID == h.s.ID() })
	switch {
	case len(fresh) > 1 || made != nil && (len(fresh) != 1 || fresh[0].Path != made.Path):
		h.fatal("%d backups are new at %s, and the one that was made is %v (%v)", len(fresh), p.name, made, err)
	case made == nil && len(fresh) > 0 && (kind == "canceled" || quiet):
		h.fatal("backup %s at %s was said to be canceled: %v", fresh[0].Path, p.name, err)
	}
	if kind == "dies" {
		_ = h.s.Close() // it has died: what it says counts no more
		h.dead.Store(nil)
		h.start()
		h.note()
	}
}

// healed lets a place answer again, without the lease of what died.
func (h *history) healed(p *place) {
	p.faulty.Heal()
	if err := os.RemoveAll(filepath.Join(p.dir, "brock.lease")); err != nil {
		h.t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(p.dir, "brock.marks")); err != nil {
		h.t.Fatal(err)
	}
}

// look compares a place with what must be there. What is new must be allowed,
// and is returned.
func (h *history) look(p *place, allowed func(manifest.Stored) bool) (fresh []manifest.Stored) {
	h.t.Helper()
	l, err := backup.List(context.Background(), p.faulty)
	if err != nil {
		h.t.Fatal(err)
	}
	if len(l.Damaged) > 0 {
		h.fatal("damaged at %s: %v", p.name, l.Damaged)
	}
	found := map[string]bool{}
	for _, s := range l.Series {
		for _, m := range s.Members {
			found[m.Path] = true
			old, known := p.known[m.Path]
			switch {
			case known && old.Digest != m.Digest:
				h.fatal("backup %s at %s has changed", m.Path, p.name)
			case known:
			case allowed == nil || !allowed(m):
				h.fatal("backup %s at %s was invented", m.Path, p.name)
			default:
				p.known[m.Path] = m
				fresh = append(fresh, m)
			}
		}
	}
	for path := range p.known {
		if !found[path] {
			h.fatal("backup %s at %s is lost", path, p.name)
		}
	}
	return fresh
}

// copy copies a series from one place to another, at the second go where the
// first is cut off.
func (h *history) copy() {
	from, to := h.place(), h.place()
	all := from.sorted()
	if from == to || len(all) == 0 || from.name == "plain" && to.name != "plain" || from.name == "third" && to.name != "third" {
		return
	}
	id := all[h.random.IntN(len(all))].BackupID
	c := backup.Copy{From: from.faulty, To: to.faulty, BackupID: id, Keys: ee.NewKeyRing(from.key), Workers: 2, Now: h.clock.now}
	if to.key.ID() != from.key.ID() {
		if to.key.IsZero() {
			return
		}
		c.NewKey = to.key
	}
	ofSeries := func(m manifest.Stored) bool { return m.BackupID == id }
	if h.random.IntN(2) == 0 {
		to.faulty.CrashAt(h.random.IntN(60))
		_, _ = c.Run(context.Background()) // what it has done is looked at
		h.healed(to)
		h.healed(from)
		h.look(to, ofSeries)
	}
	_, err := c.Run(context.Background())
	h.look(to, ofSeries)
	if fault.Is(err, fault.Mixed) {
		return // the two have gone different ways
	}
	if err != nil {
		h.fatal("copy %s from %s to %s: %v", id, from.name, to.name, err)
	}
	h.did["copied"]++
	for _, m := range all {
		if _, there := to.known[m.Path]; m.BackupID == id && !there {
			h.fatal("backup %s was not copied from %s to %s", m.Path, from.name, to.name)
		}
	}
}

// prune prunes a place. The newest series of each database and selection stays.
func (h *history) prune(p *place) {
	policy := prune.Policy{KeepLast: 1 + h.random.IntN(5), KeepDaily: h.random.IntN(3)}
	newest := map[string]string{}
	for _, m := range p.sorted() {
		if m.BackupNum == 1 {
			newest[fmt.Sprint(m.DBID, m.Selection)] = m.BackupID
		}
	}
	job := prune.Prune{Destination: p.faulty, Policy: policy, Remove: true, Now: h.clock.now}
	if h.random.IntN(3) == 0 {
		p.faulty.CrashAt(20 + h.random.IntN(60))
	}
	result, err := job.Run(context.Background())
	crashed := err != nil && errors.Is(err, destinationtest.ErrCrashed)
	h.healed(p)
	if err != nil && !crashed {
		h.fatal("prune %s: %v", p.name, err)
	}
	if crashed {
		h.afterCrashedPrune(p, job)
		return
	}
	for _, d := range result.Series {
		for _, folder := range d.Gone {
			if newest[fmt.Sprint(p.known[folder].DBID, p.known[folder].Selection)] == d.BackupID {
				h.fatal("prune has removed %s of the newest series", folder)
			}
			delete(p.known, folder)
			h.did["pruned"]++
		}
	}
	h.look(p, nil)
}

// afterCrashedPrune accepts what a prune that died has removed, as long as it is
// what it would remove, the newest of a series first.
func (h *history) afterCrashedPrune(p *place, job prune.Prune) {
	l, err := backup.List(context.Background(), job.Destination)
	if err != nil {
		h.t.Fatal(err)
	}
	left := map[string]bool{}
	for i := range l.Series {
		if _, err := l.Series[i].Chain(0); err != nil {
			h.fatal("a prune that died left a broken series: %v", err)
		}
		for _, m := range l.Series[i].Members {
			left[m.Path] = true
		}
	}
	for path := range p.known {
		if !left[path] {
			delete(p.known, path)
		}
	}
	h.look(p, nil)
}
