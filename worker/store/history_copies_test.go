package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/destination/destinationtest"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
	"github.com/brockdb/brock/backup/prune"
	"github.com/brockdb/brock/ee"
)

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
