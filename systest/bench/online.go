package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"time"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/systest/dataset"
)

const (
	onlineWrites = 20_000 // a second
	onlineBatch  = 20     // writes in a transaction
	onlineIdle   = 5 * time.Second
)

// onlineWriters measures commit latency from the scheduled time, with an open
// loop of writers, first alone and then during a backup.
func onlineWriters(ctx context.Context, j job, m *meter) error {
	set, err := dataset.Find(j.Set, j.Scale)
	if err != nil {
		return err
	}
	db, err := openSource(j.DB)
	if err != nil {
		return err
	}
	run, closeSource, err := onlineBackup(ctx, db, j)
	if err != nil {
		return err
	}
	w := &writers{db: db, set: set, stop: make(chan struct{})}
	m.start()
	done := make(chan error, 1)
	go func() { done <- w.run() }()
	time.Sleep(onlineIdle)
	w.phase(1)
	err = run()
	w.phase(2)
	close(w.stop)
	if err = errors.Join(err, <-done); err != nil {
		return err
	}
	m.stop()
	closeSource()
	idle, busy := percentile(w.latency[0], 0.99), percentile(w.latency[1], 0.99)
	m.result.Named = map[string]float64{"idle p99": idle.Seconds(), "p99": busy.Seconds()}
	m.result.Note = fmt.Sprintf("p99 %.1f ms idle, %.1f ms during the backup", 1e3*idle.Seconds(), 1e3*busy.Seconds())
	return db.Close()
}

// onlineBackup returns what runs one backup: brock's with its defaults for a
// serving process, or Badger's own.
func onlineBackup(ctx context.Context, db *badger.DB, j job) (run func() error, closeSource func(), err error) {
	if j.Level == "badger" {
		return func() error {
			f, err := os.Create(j.Out)
			if err != nil {
				return err
			}
			w := bufio.NewWriterSize(f, 1<<20)
			_, err = db.Backup(w, 0)
			return errors.Join(err, w.Flush(), f.Close())
		}, func() {}, nil
	}
	if err := os.RemoveAll(j.Out); err != nil {
		return nil, nil, err
	}
	src, err := backup.Unmanaged(db)
	if err != nil {
		return nil, nil, err
	}
	b, err := newBackup(ctx, src, j)
	if err != nil {
		return nil, nil, err
	}
	b.Workers = 0
	return func() error {
		_, err := b.Run(ctx)
		return err
	}, src.Close, nil
}

// writers commit at a fixed rate, however long commits take.
type writers struct {
	db   *badger.DB
	set  *dataset.Set
	stop chan struct{}

	mu      sync.Mutex
	now     int
	latency [3][]time.Duration
	err     error
}

func (w *writers) phase(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = n
}

func (w *writers) run() error {
	r := rand.New(rand.NewPCG(1, 5))
	var pending sync.WaitGroup
	next := time.Now()
	for {
		select {
		case <-w.stop:
			pending.Wait()
			return w.err
		default:
		}
		next = next.Add(time.Second * onlineBatch / onlineWrites)
		if d := time.Until(next); d > 0 {
			time.Sleep(d)
		}
		txn := w.db.NewTransaction(true)
		for range onlineBatch {
			if err := txn.SetEntry(w.set.Entry(r.Uint64N(w.set.Records), 99)); err != nil {
				return err
			}
		}
		w.mu.Lock()
		phase := w.now
		w.mu.Unlock()
		scheduled := next
		pending.Add(1)
		txn.CommitWith(func(err error) {
			defer pending.Done()
			w.mu.Lock()
			defer w.mu.Unlock()
			w.latency[phase] = append(w.latency[phase], time.Since(scheduled))
			w.err = errors.Join(w.err, err)
		})
	}
}

func percentile(all []time.Duration, p float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[int(float64(len(all)-1)*p)]
}
