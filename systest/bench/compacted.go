package main

import (
	"context"
	"runtime"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/systest/dataset"
)

// compacted measures incrementals of 1 % that is spread over all keys and has
// been compacted into all tables, so that none can be left out, beside full
// scans of the same database.
func compacted(ctx context.Context, j job, m *meter) error {
	set, err := dataset.Find(j.Set, j.Scale)
	if err != nil {
		return err
	}
	// With memtables of the usual size so few changes would stay in memory,
	// where no compaction finds them.
	db, err := badger.Open(badger.DefaultOptions(j.DB).WithLogger(nil).WithMemTableSize(1 << 20).WithValueThreshold(64 << 10))
	if err != nil {
		return err
	}
	src, err := backup.Unmanaged(db)
	if err != nil {
		return err
	}
	m.start()
	t := &timed{ctx: ctx, src: src, dir: j.Out, seconds: map[string][]float64{}}
	for round := range uint64(3) {
		if err := t.backup("full scan", true); err != nil {
			return err
		}
		if err := update(db, set, 0.01, 100*round+1, false); err != nil {
			return err
		}
		if err := db.Flatten(runtime.GOMAXPROCS(0)); err != nil {
			return err
		}
		if err := t.backup("incremental of 1 %, compacted", false); err != nil {
			return err
		}
	}
	m.stop()
	src.Close()
	m.result.Named = t.medians()
	return db.Close()
}
