package systest

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestWorkload does to an alpha what its users may do, in random order, with
// restarts and power cuts and backups in between. Then it restores every backup
// of every series, starts an alpha on it and compares all that it holds with
// what had been acknowledged when the backup was taken.
func TestWorkload(t *testing.T) {
	t.Parallel()
	for _, keyBytes := range []int{0, 32} {
		name := map[int]string{0: "plain", 32: "encrypted"}[keyBytes]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorkload(t, keyBytes)
			w.run(t, *steps)
			for i := range w.points {
				w.restore(t, i)
			}
			w.verify(t)
		})
	}
}

// workload is a random history of one alpha.
type workload struct {
	random      *rand.Rand
	alpha       *alpha
	key         []string // flags
	model       model
	maxTs       uint64 // the newest acknowledged commit
	destination string
	points      []point
}

// point is what a backup must hold.
type point struct {
	task    task
	model   model
	catalog []described
	maxTs   uint64
	maxUID  uint64
}

func newWorkload(t *testing.T, keyBytes int) *workload {
	w := &workload{random: newRandom(t), model: model{}, destination: t.TempDir()}
	if keyBytes > 0 {
		w.key = []string{"--encryption_key_file", keyFile(t, keyBytes)}
	}
	w.alpha = startAlpha(t, t.TempDir(), w.key...)
	return w
}

// run takes so many steps, and a backup at the end.
func (w *workload) run(t *testing.T, steps int) {
	t.Helper()
	choices := []struct {
		weight int
		step   func(*testing.T)
	}{
		{30, w.put}, {14, w.putWithoutKeys}, {20, w.remove}, {5, w.drop}, {5, w.create}, {5, w.loadMany},
		{8, func(t *testing.T) { w.backup(t, w.random.IntN(4) == 0) }},
		{2, func(t *testing.T) { w.alpha.stop(t); w.alpha = w.alpha.again(t) }},
		{2, func(t *testing.T) { w.alpha.kill(t); w.alpha = w.alpha.again(t) }},
	}
	var deck []func(*testing.T) // so that every kind of step occurs as often as it should
	for len(deck) < steps {
		for _, c := range choices {
			deck = append(deck, slices.Repeat([]func(*testing.T){c.step}, c.weight)...)
		}
	}
	w.random.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
	for _, step := range deck[:steps] {
		step(t)
	}
	w.alpha.check(t, w.model, "at the end")
	w.backup(t, false)
	w.alpha.stop(t)
}

// somewhere names one of few collections, which need not exist.
func (w *workload) somewhere() ref {
	return ref{fmt.Sprintf("space %d", w.random.IntN(3)), fmt.Sprintf("collection.%d", w.random.IntN(3))}
}

// existing returns one that exists, and false when there is none.
func (w *workload) existing() (ref, bool) {
	all := w.model.sorted()
	if len(all) == 0 {
		return ref{}, false
	}
	return all[w.random.IntN(len(all))], true
}

// value is a JSON document whose text a detour over Go values would change.
func (w *workload) value() json.RawMessage {
	n := w.random.Uint64()
	switch n % 4 {
	case 0:
		return fmt.Appendf(nil, `{"z":%d.%020d,"a":[null,true,"ü\"%x"]}`, n, n, n)
	case 1:
		return strconv.AppendUint(nil, n, 10)
	case 2:
		return fmt.Appendf(nil, `"%s"`, strings.Repeat(strconv.FormatUint(n, 36), 1+w.random.IntN(200)))
	}
	return fmt.Appendf(nil, `{"n":1e%d,"n":-0,"text":"\u00e9\/"}`, n%300)
}

func (w *workload) put(t *testing.T) {
	into := w.somewhere()
	list := make([]putRecord, 1+w.random.IntN(20))
	for i := range list {
		list[i] = putRecord{fmt.Sprintf("key %d", w.random.IntN(150)), w.value()}
	}
	w.maxTs, _ = w.alpha.store(t, w.model, into, list...)
}

func (w *workload) putWithoutKeys(t *testing.T) {
	into := w.somewhere()
	list := make([]putRecord, 1+w.random.IntN(5))
	for i := range list {
		list[i].Value = w.value()
	}
	before := len(w.model.in(into).records)
	var keys []string
	w.maxTs, keys = w.alpha.store(t, w.model, into, list...)
	if len(w.model[into].records) != before+len(list) {
		t.Errorf("the new uids %q are not new", keys)
	}
}

// remove removes some records, and some that do not exist.
func (w *workload) remove(t *testing.T) {
	from, ok := w.existing()
	if !ok {
		return
	}
	keys := []string{fmt.Sprintf("key %d", w.random.IntN(150))}
	for _, key := range slices.Sorted(maps.Keys(w.model[from].records)) {
		if w.random.IntN(8) == 0 && len(keys) < 30 {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	w.alpha.remove(t, w.model, from, slices.Compact(keys)...)
}

func (w *workload) drop(t *testing.T) {
	if r, ok := w.existing(); ok {
		w.alpha.drop(t, w.model, r)
	}
}

func (w *workload) create(t *testing.T) {
	r := w.somewhere()
	if w.model[r] == nil {
		w.alpha.create(t, w.model, r, fmt.Sprintf(`{"title":"no. %d","pattern":"^[a-z]*$"}`, w.random.IntN(100)))
	}
}

func (w *workload) loadMany(t *testing.T) {
	loaded := records{}
	for range 200 + w.random.IntN(3000) {
		loaded[fmt.Sprintf("key %d", w.random.IntN(5000))] = string(w.value())
	}
	w.alpha.load(t, w.model, w.somewhere(), loaded)
}

// backup takes one and keeps what it must hold.
func (w *workload) backup(t *testing.T, forceFull bool) {
	p := point{catalog: w.alpha.catalog(t), model: w.model.clone(), maxTs: w.maxTs, maxUID: w.alpha.maxUID(t)}
	p.task = w.alpha.backup(t, w.destination, forceFull)
	m := manifestOf(t, w.destination, p.task)
	if (forceFull || len(w.points) == 0) != (m.Type == "full") {
		t.Errorf("backup %d of the workload, forceFull %v, is %s (%s)", len(w.points), forceFull, m.Type, m.Reason)
	}
	if m.Encrypted != (w.key != nil) || m.MaxUID != p.maxUID || m.ReadTs <= p.maxTs {
		t.Errorf("encrypted %v, max uid %d, version %d; want %v, %d, above %d", m.Encrypted, m.MaxUID, m.ReadTs, w.key != nil, p.maxUID, p.maxTs)
	}
	w.points = append(w.points, p)
}

// maxUID asks the alpha for the highest uid it has handed out.
func (a *alpha) maxUID(t *testing.T) uint64 {
	t.Helper()
	var state struct{ MaxUID string }
	a.get(t, "/state", &state)
	n, err := strconv.ParseUint(state.MaxUID, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// restore restores one backup and compares; then new writes must go on above
// all versions and uids that were in use.
func (w *workload) restore(t *testing.T, i int) {
	t.Helper()
	p := w.points[i]
	moment := fmt.Sprintf("restore of backup %d (%s)", i, p.task.Path)
	r := restoreBackup(t, w.destination, p.task.BackupID, int(p.task.BackupNum), w.key...)
	if r.version <= p.maxTs || r.maxUID != p.maxUID {
		t.Errorf("%s: version %d, max uid %d; want above %d, %d", moment, r.version, r.maxUID, p.maxTs, p.maxUID)
	}
	a := startAlpha(t, r.dir, w.key...)
	wantCatalog(t, moment, a.check(t, p.model, moment), p.catalog)
	ts, keys := a.store(t, p.model, ref{"space 0", "collection.0"}, putRecord{Value: json.RawMessage(`"new"`)})
	uid, err := strconv.ParseUint(strings.TrimPrefix(keys[0], "0x"), 16, 64)
	if ts <= r.version || err != nil || uid <= p.maxUID {
		t.Errorf("%s: the next commit is %d and the next uid %s, after version %d and max uid %d", moment, ts, keys[0], r.version, p.maxUID)
	}
	a.check(t, p.model, moment+", after a put")
	a.stop(t)
}

// verify has the program prove every byte of all series.
func (w *workload) verify(t *testing.T) {
	t.Helper()
	good(t, append([]string{"verify", "-l", w.destination, "--level", "full"}, w.key...)...)
	if all := list(t, w.destination); len(all) != len(w.points) {
		t.Errorf("%d backups are listed, %d were taken", len(all), len(w.points))
	}
}
