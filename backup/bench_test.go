package backup

import (
	"context"
	"fmt"
	"io"
	"math"
	"runtime"
	"sync/atomic"
	"testing"

	badger "github.com/dgraph-io/badger/v4"
	"golang.org/x/sync/errgroup"

	"github.com/brockdb/brock/backup/archive"
	"github.com/brockdb/brock/systest/dataset"
)

const benchRecords = 200_000 // of set a: 30 MB

// benchDB writes set a in random order and reopens the database, so that all
// of it is in tables on disk.
func benchDB(b *testing.B) (*badger.DB, *dataset.Set) {
	b.Helper()
	set, err := dataset.Find("a", benchRecords/5e6)
	if err != nil {
		b.Fatal(err)
	}
	o := badger.DefaultOptions(b.TempDir()).WithLogger(nil).WithMetricsEnabled(false).
		WithMemTableSize(8 << 20).WithBaseTableSize(1 << 20).WithBlockCacheSize(8 << 20)
	for range 2 {
		db, err := badger.OpenManaged(o)
		if err != nil {
			b.Fatal(err)
		}
		if db.MaxVersion() > 0 {
			b.Cleanup(func() {
				if err := db.Close(); err != nil {
					b.Error(err)
				}
			})
			return db, set
		}
		wb := db.NewWriteBatchAt(1)
		for i := range set.Records {
			if err := wb.SetEntryAt(set.Entry(set.Shuffled(i), 0), 1+i%1000); err != nil {
				b.Fatal(err)
			}
		}
		if err := wb.Flush(); err != nil {
			b.Fatal(err)
		}
		if err := db.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.Fatal("the database was empty when it was opened again")
	return nil, nil
}

// BenchmarkScan reads a database on disk: brock's scan alone, the scan with the
// encoding of its records, and Badger's Stream.Backup, which encodes too. Bytes
// per second are of encoded records.
func BenchmarkScan(b *testing.B) {
	db, set := benchDB(b)
	txn := db.NewTransactionAt(math.MaxUint64, false)
	b.Cleanup(txn.Discard)
	snap := &Snapshot{DB: db, Txn: txn, ReadTs: math.MaxUint64}
	records, rawBytes, err := benchScan(b.Context(), snap, 1, true)
	if err != nil || records != int64(set.Records) {
		b.Fatalf("%d records were read, not %d: %v", records, set.Records, err)
	}
	for _, workers := range oneAndAllCores() {
		for _, c := range []struct {
			name   string
			encode bool
		}{{"scan", false}, {"scan+encode", true}} {
			b.Run(fmt.Sprintf("workers=%d/%s", workers, c.name), func(b *testing.B) {
				b.SetBytes(rawBytes)
				for b.Loop() {
					if n, _, err := benchScan(b.Context(), snap, workers, c.encode); err != nil || n != records {
						b.Fatal(n, err)
					}
				}
			})
		}
		b.Run(fmt.Sprintf("workers=%d/Stream.Backup", workers), func(b *testing.B) {
			b.SetBytes(rawBytes)
			for b.Loop() {
				stream := db.NewStreamAt(math.MaxUint64)
				stream.NumGo = workers
				var written counter
				if _, err := stream.Backup(&written, 0); err != nil || int64(written) < rawBytes {
					b.Fatal(written, err)
				}
			}
		})
	}
}

// oneAndAllCores returns one core and all cores.
func oneAndAllCores() []int {
	if n := runtime.GOMAXPROCS(0); n > 1 {
		return []int{1, n}
	}
	return []int{1}
}

// counter is io.Discard that counts.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return io.Discard.Write(p)
}

// benchScan scans all ranges the way a backup does, and drops what it reads.
func benchScan(ctx context.Context, snap *Snapshot, workers int, encode bool) (records, encoded int64, err error) {
	layout, err := checkBadger()
	if err != nil {
		return 0, 0, err
	}
	ranges, _ := cutRanges(snap.DB, workers)
	queue := make(chan keyRange, len(ranges))
	for _, r := range ranges {
		queue <- r
	}
	close(queue)
	var count, size atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	for range workers {
		group.Go(func() error {
			s := &scanner{ctx: ctx, snap: snap, layout: layout}
			buf := make([]byte, 0, DefaultChunkBytes+DefaultChunkBytes/8)
			var n, total int64
			for r := range queue {
				err := s.scan(r, func(rec *archive.Record, _ bool) error {
					n++
					if !encode {
						return nil
					}
					before := len(buf)
					buf = archive.AppendRecord(buf, rec)
					total += int64(len(buf) - before)
					if len(buf) >= DefaultChunkBytes {
						buf = buf[:0]
					}
					return nil
				})
				if err != nil {
					return err
				}
			}
			count.Add(n)
			size.Add(total)
			return nil
		})
	}
	err = group.Wait()
	return count.Load(), size.Load(), err
}
