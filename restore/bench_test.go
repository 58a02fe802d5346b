package restore

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"runtime"
	"testing"

	badger "github.com/dgraph-io/badger/v4"
	"golang.org/x/sync/errgroup"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/archive"
	"github.com/brockdb/brock/backup/backuptest"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/ee"
	"github.com/brockdb/brock/systest/dataset"
)

const (
	benchRecords      = 200_000 // of set a: 30 MB
	benchIncrementals = 5
	benchChanges      = benchRecords / 50 // 2 % in each incremental
)

// benchSeries is a full backup with incrementals on top, and the peer's backup
// of the state that the full holds.
type benchSeries struct {
	dst   destination.Destination
	key   ee.Key
	plain bytes.Buffer // DB.Backup's output
}

func newBenchSeries(b *testing.B) *benchSeries {
	b.Helper()
	set, err := dataset.Find("a", benchRecords/5e6)
	if err != nil {
		b.Fatal(err)
	}
	db := backuptest.New(b, true, func(o badger.Options) badger.Options {
		return badger.DefaultOptions(o.Dir).WithLogger(nil).WithMetricsEnabled(false).WithMemTableSize(16 << 20)
	})
	s := &benchSeries{dst: backuptest.OpenDir(b, b.TempDir()), key: backuptest.Key(b, 32)}
	take := func() {
		db.Backup(s.dst, func(k *backup.Backup) {
			k.Key, k.ChunkBytes, k.Workers = s.key, backup.DefaultChunkBytes, runtime.GOMAXPROCS(0)
		})
	}
	const batch = benchChanges
	for i := uint64(0); i < set.Records; i += batch {
		db.Commit(func(txn *badger.Txn) error { return setEntries(txn, set, i, min(i+batch, set.Records), 0) })
	}
	take()
	stream := db.NewStreamAt(math.MaxUint64)
	if _, err := stream.Backup(&s.plain, 0); err != nil {
		b.Fatal(err)
	}
	for revision := range uint64(benchIncrementals) {
		db.Commit(func(txn *badger.Txn) error {
			return setEntries(txn, set, revision*benchChanges, (revision+1)*benchChanges, revision+1)
		})
		take()
	}
	return s
}

// setEntries writes the records from to end of the set's random order.
func setEntries(txn *badger.Txn, set *dataset.Set, from, end, revision uint64) error {
	for i := from; i < end; i++ {
		if err := txn.SetEntry(set.Entry(set.Shuffled(i), revision)); err != nil {
			return err
		}
	}
	return nil
}

// restoreOf returns a restore of backup num to a new directory, and its plan.
func (s *benchSeries) restoreOf(b *testing.B, num int) (*Restore, *Plan) {
	b.Helper()
	r := &Restore{Source: s.dst, Keys: ee.NewKeyRing(s.key), BackupNum: num, Dir: filepath.Join(b.TempDir(), "out")}
	p, err := r.Plan(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return r, p
}

// merged calls emit with what a plan restores, in key order.
func merged(b *testing.B, r *Restore, p *Plan, emit func(*archive.Record)) (records int) {
	b.Helper()
	err := newMerger(b.Context(), r, p.Groups[0].members).merge(slice{}, func(rec *archive.Record) error {
		records++
		emit(rec)
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return records
}

// BenchmarkMerge reads and merges on one core, and writes nothing: a full
// alone, and with five incrementals of 2 %. Bytes per second are of all raw
// records read.
func BenchmarkMerge(b *testing.B) {
	s := newBenchSeries(b)
	for _, c := range []struct {
		name string
		num  int
	}{{"full", 1}, {"full+5_incrementals", 1 + benchIncrementals}} {
		r, p := s.restoreOf(b, c.num)
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(p.RawBytes())
			b.ReportAllocs()
			for b.Loop() {
				if n := merged(b, r, p, func(*archive.Record) {}); n < benchRecords {
					b.Fatalf("%d records were merged", n)
				}
			}
		})
	}
}

// BenchmarkSink writes records that lie in memory into a new database, on all
// cores, and closes it. The peer reads its own plain backup, from memory too.
func BenchmarkSink(b *testing.B) {
	s := newBenchSeries(b)
	r, p := s.restoreOf(b, 1)
	var encoded []byte
	merged(b, r, p, func(rec *archive.Record) { encoded = archive.AppendRecord(encoded, rec) })
	var records []archive.Record
	merged(b, r, p, func(rec *archive.Record) {
		c := *rec
		c.Key, c.Value = bytes.Clone(rec.Key), bytes.Clone(rec.Value)
		records = append(records, c)
	})
	rawBytes := int64(len(encoded))
	for _, c := range []struct {
		name string
		open func(dir string) (sink, error)
	}{
		{"tables", func(dir string) (sink, error) { return newTableSink(dir, rawBytes) }},
		{"StreamWriter", func(dir string) (sink, error) { return newStreamSink(dir, nil, rawBytes, ee.Key{}) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(rawBytes)
			for b.Loop() {
				out, err := c.open(b.TempDir())
				if err != nil {
					b.Fatal(err)
				}
				if err := fillSink(out, records); err != nil {
					b.Fatal(errors.Join(err, out.abort()))
				}
				if n, err := out.finish(); err != nil || n != int64(len(records)) {
					b.Fatal(n, err)
				}
			}
		})
	}
	b.Run("DB.Load", func(b *testing.B) { s.load(b, rawBytes) })
}

// fillSink writes the records in as many slices as there are cores.
func fillSink(out sink, records []archive.Record) error {
	workers := runtime.GOMAXPROCS(0)
	share := (len(records) + workers - 1) / workers
	var group errgroup.Group
	for i := range workers {
		mine := records[min(i*share, len(records)):min((i+1)*share, len(records))]
		group.Go(func() (err error) {
			w, err := out.slice(i + 1)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, w.close()) }()
			for j := range mine {
				if err := w.add(&mine[j]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// load is the peer: Badger's DB.Load, and Close.
func (s *benchSeries) load(b *testing.B, rawBytes int64) {
	b.SetBytes(rawBytes)
	for b.Loop() {
		db, err := badger.Open(badger.DefaultOptions(b.TempDir()).WithLogger(nil).WithMetricsEnabled(false))
		if err != nil {
			b.Fatal(err)
		}
		if err := errors.Join(db.Load(bytes.NewReader(s.plain.Bytes()), 256), db.Close()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRestore is the whole of it, from an encrypted gzip backup on disk,
// beside DB.Load of a plain backup in memory.
func BenchmarkRestore(b *testing.B) {
	s := newBenchSeries(b)
	for _, c := range []struct {
		name string
		sink SinkKind
		num  int
	}{
		{"full/tables", SinkTables, 1},
		{"full/StreamWriter", SinkStream, 1},
		{"full+5_incrementals/tables", SinkTables, 1 + benchIncrementals},
	} {
		r, p := s.restoreOf(b, c.num)
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(p.RawBytes())
			r.Sink = c.sink
			for i := 0; b.Loop(); i++ {
				r.Dir = filepath.Join(b.TempDir(), fmt.Sprint(i))
				if _, err := r.Run(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	_, p := s.restoreOf(b, 1)
	b.Run("DB.Load", func(b *testing.B) { s.load(b, p.RawBytes()) })
}
