package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/archive"
	"github.com/brockdb/brock/backup/backuptest"
	"github.com/brockdb/brock/backup/destination/destinationtest"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
)

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
