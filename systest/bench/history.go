package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/archive"
	"github.com/brockdb/brock/backup/manifest"
	"github.com/brockdb/brock/systest/dataset"
)

// update rewrites a share of the records, one in 50 of them as a delete, in
// transactions of a thousand.
func update(db *badger.DB, set *dataset.Set, share float64, revision uint64, recent bool) error {
	n := uint64(float64(set.Records) * share)
	r := rand.New(rand.NewPCG(revision, 7))
	start := r.Uint64N(set.Records)
	for done := uint64(0); done < n; {
		txn := db.NewTransaction(true)
		for k := 0; k < 1000 && done < n; k++ {
			i := r.Uint64N(set.Records)
			if recent {
				i = (start + done) % set.Records
			}
			var err error
			if done%50 == 49 {
				err = txn.Delete(set.Key(nil, i))
			} else {
				err = txn.SetEntry(set.Entry(i, revision))
			}
			if err != nil {
				return err
			}
			done++
		}
		if err := txn.Commit(); err != nil {
			return err
		}
	}
	return nil
}

// brockHistory makes a series: a full and five incrementals of 2 %.
func brockHistory(ctx context.Context, j job, m *meter) error {
	set, err := dataset.Find(j.Set, j.Scale)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(j.Out); err != nil {
		return err
	}
	db, err := openSource(j.DB)
	if err != nil {
		return err
	}
	src, err := backup.Unmanaged(db)
	if err != nil {
		return err
	}
	b, err := newBackup(ctx, src, j)
	if err != nil {
		return err
	}
	m.start()
	for num := range uint64(6) {
		if num > 0 {
			if err := update(db, set, 0.02, num, false); err != nil {
				return err
			}
		}
		if _, err := b.Run(ctx); err != nil {
			return err
		}
	}
	m.stop()
	src.Close()
	m.result.Bytes = sizeOf(j.Out)
	return db.Close()
}

// incrementals measures incrementals of several kinds beside full scans of the
// same database (backups without compression), all in one process.
func incrementals(ctx context.Context, j job, m *meter) error {
	set, err := dataset.Find(j.Set, j.Scale)
	if err != nil {
		return err
	}
	db, err := openSource(j.DB)
	if err != nil {
		return err
	}
	src, err := backup.Unmanaged(db)
	if err != nil {
		return err
	}
	m.start()
	t := &timed{ctx: ctx, src: src, dir: j.Out, seconds: map[string][]float64{}}
	for round := range uint64(5) {
		steps := []struct {
			name   string
			change func() error
		}{
			{"full scan", nil},
			{"incremental of nothing", nil},
			{"incremental of 1 %, recent", func() error { return update(db, set, 0.01, 10*round+1, true) }},
		}
		for i, s := range steps {
			if s.change != nil {
				if err := s.change(); err != nil {
					return err
				}
			}
			if err := t.backup(s.name, i == 0); err != nil {
				return err
			}
		}
	}
	m.stop()
	src.Close()
	m.result.Named = t.medians()
	return db.Close()
}

// afterLoad measures the incremental after a bulk load of everything at one
// version, which leaves every table as new as the backup before.
func afterLoad(ctx context.Context, j job, m *meter) error {
	set, err := dataset.Find(j.Set, j.Scale)
	if err != nil {
		return err
	}
	dir := j.Out + "-db"
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	db, err := badger.OpenManaged(badger.DefaultOptions(dir).WithLogger(nil))
	if err != nil {
		return err
	}
	wb := db.NewWriteBatchAt(1)
	for i := range set.Records {
		if err := wb.SetEntryAt(set.Entry(set.Shuffled(i), 0), 1); err != nil {
			return err
		}
	}
	if err := wb.Flush(); err != nil {
		return err
	}
	ts := uint64(1)
	src, err := backup.Managed(db, backup.ManagedOptions{ReadTs: func() uint64 { return ts }, Marker: func(context.Context) (uint64, error) {
		ts++
		txn := db.NewTransactionAt(ts, true)
		if err := txn.Set([]byte("marker"), nil); err != nil {
			return 0, err
		}
		return ts, txn.CommitAt(ts, nil)
	}})
	if err != nil {
		return err
	}
	m.start()
	t := &timed{ctx: ctx, src: src, dir: j.Out, seconds: map[string][]float64{}}
	for range 5 {
		if err := t.backup("full scan", true); err != nil {
			return err
		}
		if err := t.backup("incremental after a bulk load", false); err != nil {
			return err
		}
	}
	m.stop()
	m.result.Named = t.medians()
	return errors.Join(db.Close(), os.RemoveAll(dir))
}

// timed takes backups and keeps how long each kind took.
type timed struct {
	ctx     context.Context
	src     backup.Source
	dir     string
	seconds map[string][]float64
}

func (t *timed) backup(name string, full bool) error {
	b, err := newBackup(t.ctx, t.src, job{Out: filepath.Join(t.dir)})
	if err != nil {
		return err
	}
	b.Level, b.ForceFull = archive.NoCompression, full
	began := time.Now()
	made, err := b.Run(t.ctx)
	if err != nil {
		return err
	}
	if (made.Type == manifest.Full) != full {
		return fmt.Errorf("%s became a %s backup: %s", name, made.Type, made.Reason)
	}
	t.seconds[name] = append(t.seconds[name], time.Since(began).Seconds())
	return nil
}

func (t *timed) medians() map[string]float64 {
	out := make(map[string]float64, len(t.seconds))
	for name, all := range t.seconds {
		slices.Sort(all)
		out[name] = all[len(all)/2]
	}
	return out
}
