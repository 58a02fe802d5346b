package store

import (
	"context"
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"

	"github.com/brockdb/brock/backup/archive"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
	"github.com/brockdb/brock/ee"
	"github.com/brockdb/brock/restore"
)

// historySchema is a catalog as a restore asks for it, of some collections or
// of all that a backup holds.
type historySchema struct {
	*Catalog
	only   []string // names; nil means all
	ranges bool     // say ranges though all is read
	chosen []Collection
}

func (s *historySchema) Marks(group uint32, readTs, maxUID uint64) ([]restore.Mark, error) {
	records, err := RestoreMarks(group, readTs, max(maxUID, s.MaxUID()))
	marks := make([]restore.Mark, len(records))
	for i, r := range records {
		marks[i] = restore.Mark{Key: r.Key, Value: r.Value}
	}
	return marks, err
}

func (s *historySchema) Choose(last *manifest.Manifest, group uint32) ([]restore.Range, error) {
	held := map[uint64]bool{}
	for _, c := range last.Groups[group].Collections {
		held[c.ID] = true
	}
	for _, c := range s.Collections() {
		if held[c.ID] && (s.only == nil || slices.Contains(s.only, c.Name)) {
			s.chosen = append(s.chosen, c)
		} else {
			s.Leave(c.ID)
		}
	}
	if s.only == nil && !last.Partial && !s.ranges {
		return nil, nil
	}
	ranges := []restore.Range{}
	for _, run := range IDRanges(s.chosen) {
		from, to := run.Keys()
		ranges = append(ranges, restore.Range{From: from, To: to, Collections: run.IDs()})
	}
	return ranges, nil
}

// held returns what a backup must hold.
func (h *history) held(m manifest.Stored) model {
	want := h.at(m.ReadTs).clone()
	maps.DeleteFunc(want, func(name string, _ map[string]string) bool {
		return len(m.Selection.Include) > 0 && !slices.Contains(m.Selection.Include, name) || slices.Contains(m.Selection.Exclude, name)
	})
	return want
}

// some returns some of the names in m, or nil for all.
func (h *history) some(m model) (names []string) {
	if len(m) == 0 || h.random.IntN(2) == 0 {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if len(names) == 0 || h.random.IntN(2) == 0 {
			names = append(names, name)
		}
	}
	return names
}

// restore restores a backup, or a part of it, into a directory and compares.
func (h *history) restore(p *place, m manifest.Stored) {
	h.t.Helper()
	want := h.held(m)
	only := h.some(want)
	if only != nil {
		maps.DeleteFunc(want, func(name string, _ map[string]string) bool { return !slices.Contains(only, name) })
	}
	r := &restore.Restore{
		Source: p.faulty, BackupID: m.BackupID, BackupNum: m.BackupNum, Keys: ee.NewKeyRing(p.key), Dir: h.t.TempDir(),
		NewSchema: func() restore.Schema { return &historySchema{Catalog: NewCatalog(), only: only} },
		Workers:   1 + h.random.IntN(3), Sink: []restore.SinkKind{restore.SinkAuto, restore.SinkStream}[h.random.IntN(2)],
	}
	if p.key.IsZero() {
		r.Keys = ee.KeyRing{}
	}
	if _, err := r.Run(context.Background()); err != nil {
		h.fatal("restore %s (number %d, selection %v) from %s: %v", m.Path, m.BackupNum, m.Selection, p.name, err)
	}
	o := testOptions(filepath.Join(r.Dir, "p1"))
	s, err := Open(o)
	if err != nil {
		h.t.Fatal(err)
	}
	h.compare("restored from "+p.name+" "+m.Path, everything(h.t, s), want)
	if s.MaxTs() < m.ReadTs || s.ID() == m.DBID {
		h.fatal("restored from %s: %d, %s", m.Path, s.MaxTs(), s.ID())
	}
	closeStore(h.t, s)
	h.did["restored"]++
}

func (h *history) compare(what string, got, want model) {
	h.t.Helper()
	if equalModels(got, want) {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		for key, value := range want[name] {
			if found, ok := got[name][key]; !ok || found != value {
				h.t.Errorf("%s: %s/%s is %.40q (%v), not %.40q", what, name, key, found, ok, value)
			}
		}
		for key := range got[name] {
			if _, ok := want[name][key]; !ok {
				h.t.Errorf("%s: %s/%s was invented", what, name, key)
			}
		}
	}
	h.fatal("%s: there are %v, not %v", what, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
}

// online restores some collections of a backup over those in the store, or gives
// up on the way.
func (h *history) online(p *place) {
	all := p.sorted()
	if len(all) == 0 {
		return
	}
	m := all[h.random.IntN(len(all))]
	want := h.held(m)
	schema := &historySchema{Catalog: NewCatalog(), only: h.some(want), ranges: true}
	reader := &restore.Reader{Source: p.faulty, Point: restore.Point{BackupID: m.BackupID, BackupNum: m.BackupNum}, Keys: ee.NewKeyRing(p.key)}
	if p.key.IsZero() {
		reader.Keys = ee.KeyRing{}
	}
	plan, err := reader.Plan(context.Background(), func() restore.Schema { return schema })
	if err != nil {
		if fault.Is(err, fault.Mixed) && len(want) == 0 {
			return
		}
		h.fatal("plan a restore of %s: %v", m.Path, err)
	}
	if len(schema.chosen) == 0 {
		return
	}
	index := map[uint64]int{}
	var incoming []Incoming
	for i, c := range schema.chosen {
		index[c.ID] = i
		incoming = append(incoming, Incoming{Collection: c.Name, Overwrite: true})
	}
	r := begin(h.t, h.s, m.MaxUID, incoming...)
	if h.random.IntN(3) == 0 {
		// A backup meanwhile holds nothing of it, and an incremental on top of
		// that all of it.
		h.quietBackup(h.place())
	}
	var batch []Loaded
	err = reader.Read(context.Background(), plan, 1, func(rec *archive.Record) error {
		id, key, ok := RecordOf(rec.Key)
		if into, known := index[id]; ok && known {
			batch = append(batch, Loaded{into, string(key), json.RawMessage(slices.Clone(rec.Value))})
		}
		if len(batch) < 50 {
			return nil
		}
		err := r.Load(context.Background(), batch)
		batch = nil
		return err
	})
	if err == nil {
		err = r.Load(context.Background(), batch)
	}
	if err != nil {
		h.fatal("restore %s: %v", m.Path, err)
	}
	if h.random.IntN(3) == 0 {
		h.quietBackup(h.place())
	}
	if h.random.IntN(4) == 0 {
		if err := r.Abort(context.Background()); err != nil {
			h.t.Fatal(err)
		}
		h.did["aborted"]++
	} else {
		if _, err := r.Finish(context.Background()); err != nil {
			h.t.Fatal(err)
		}
		for _, c := range schema.chosen {
			h.m[c.Name] = maps.Clone(want[c.Name])
		}
		h.did["online"]++
	}
	h.note()
	h.compare("after an online restore", everything(h.t, h.s), h.m)
}

// quietBackup takes a backup that nothing disturbs, of everything.
func (h *history) quietBackup(p *place) {
	b := h.job(p, manifest.Selection{})
	b.Destination = p.faulty
	made, err := b.Run(context.Background())
	h.settle(p, b, "quiet", made, err)
}
