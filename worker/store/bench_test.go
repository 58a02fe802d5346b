package store

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	badger "github.com/dgraph-io/badger/v4"
)

// writers runs b.N operations on n goroutines.
func writers(b *testing.B, n int, op func(i int64) error) {
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range n {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				if err := op(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
}

const benchValue = `{"name":"Ashby-de-la-Zouch","country":"GB","population":12370,"lat":52.74632,"lon":-1.47320}`

// BenchmarkPropose commits one record at a time, durably, from many writers.
func BenchmarkPropose(b *testing.B) {
	for _, n := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("writers=%d", n), func(b *testing.B) {
			s, err := Open(Options{Dir: b.TempDir(), Group: 1})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			writers(b, n, func(i int64) error {
				_, err := s.Propose(context.Background(), &Batch{Puts: []Put{
					{Collection: "c", Key: fmt.Sprintf("%012d", i*7919%1e9), Value: []byte(benchValue)},
				}})
				return err
			})
			st := s.Stats()
			b.ReportMetric(float64(st.Commits)/float64(st.Groups), "commits/fsync")
		})
	}
}

// BenchmarkBadgerSyncWrites is the peer of BenchmarkPropose: the same writes
// through Badger's own transactions with SyncWrites.
func BenchmarkBadgerSyncWrites(b *testing.B) {
	for _, n := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("writers=%d", n), func(b *testing.B) {
			db, err := badger.Open(badger.DefaultOptions(b.TempDir()).WithSyncWrites(true).WithLogger(nil))
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			writers(b, n, func(i int64) error {
				return db.Update(func(txn *badger.Txn) error {
					return txn.Set(fmt.Appendf(nil, "%012d", i*7919%1e9), []byte(benchValue))
				})
			})
		})
	}
}

// BenchmarkLoad commits batches of 1,000 records, as a bulk load does.
func BenchmarkLoad(b *testing.B) {
	const records = 1000
	for _, n := range []int{1, 4} {
		b.Run(fmt.Sprintf("writers=%d", n), func(b *testing.B) {
			s, err := Open(Options{Dir: b.TempDir(), Group: 1})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			b.SetBytes(records * int64(len(benchValue)+12))
			writers(b, n, func(i int64) error {
				batch := &Batch{Puts: make([]Put, records)}
				for j := range batch.Puts {
					batch.Puts[j] = Put{Collection: "c", Key: fmt.Sprintf("%012d", i*records+int64(j)), Value: []byte(benchValue)}
				}
				_, err := s.Propose(context.Background(), batch)
				return err
			})
		})
	}
}
