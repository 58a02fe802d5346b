package store

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup/fault"
)

// realOptions are those of a server, but for the log.
func realOptions(dir string) Options {
	return Options{Dir: dir, Group: 1, Logger: &testLogger{}}
}

func TestLargestRecords(t *testing.T) {
	t.Parallel()
	o := realOptions(t.TempDir())
	s := openStore(t, o)
	longKey := strings.Repeat("é", MaxKeyBytes/2)
	b := &Batch{Puts: []Put{{Collection: "c", Key: longKey, Value: []byte("1")}}}
	b.Puts = append(b.Puts, Put{Collection: "c", Key: "most", Value: bigValue(MaxValueBytes)})
	b.Puts = append(b.Puts, Put{Collection: "c", Key: "8 MB", Value: bigValue(8 << 20)})
	propose(t, s, b)
	for _, size := range []int{valueThreshold - 1, valueThreshold, valueThreshold + 1} {
		put(t, s, "c", fmt.Sprint(size), string(bigValue(size)))
	}
	closeStore(t, s)
	s = openStore(t, o)
	v := openView(t, s)
	for _, p := range b.Puts {
		value, _, err := v.Get("", "c", p.Key)
		if err != nil || !bytes.Equal(value, p.Value) {
			t.Errorf("key %s: %d bytes came back, want %d: %v", quote(p.Key), len(value), len(p.Value), err)
		}
	}
	sizes := map[string]int{}
	err := v.Scan(context.Background(), "", "c", ScanOptions{}, func(key string, value []byte, _ uint64) error {
		sizes[key] = len(value)
		return nil
	})
	if err != nil || len(sizes) != 6 || sizes["most"] != MaxValueBytes || sizes["1048576"] != valueThreshold {
		t.Errorf("a scan sees %d records: %v", len(sizes), err)
	}
	remove(t, s, "c", longKey, "most")
	if n, err := openView(t, s).Count(context.Background(), "", "c"); n != 4 || err != nil {
		t.Errorf("%d records are left: %v", n, err)
	}
}

// TestLargestBatch: what the limits allow Badger takes, and one more is refused
// before anything is written.
func TestLargestBatch(t *testing.T) {
	s := newStore(t)
	propose(t, s, &Batch{Creates: []Create{{Collection: "c"}}})
	maxCount := int(s.committer.maxCount - groupOverhead().count - 1)
	batch := func(n, valueBytes int) *Batch {
		b := &Batch{Puts: make([]Put, n)}
		for i := range b.Puts {
			b.Puts[i] = Put{Collection: "c", Key: fmt.Sprintf("%06d", i), Value: bigValue(valueBytes)}
		}
		return b
	}
	propose(t, s, batch(maxCount, 2))
	_, err := s.Propose(context.Background(), batch(maxCount+1, 2))
	if !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), fmt.Sprintf("the limit is %d", maxCount)) || fault.HintOf(err) == "" {
		t.Errorf("%d records: %v", maxCount+1, err)
	}
	perRecord := int(s.committer.maxSmall-groupOverhead().small-1) / 100
	valueBytes := perRecord - (recordKeyOverhead + 6 + 12)
	propose(t, s, batch(100, valueBytes))
	_, err = s.Propose(context.Background(), batch(100, valueBytes+1))
	if !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), "the limit is") {
		t.Errorf("%d bytes: %v", 100*valueBytes, err)
	}
	put(t, s, "c", "after", "1")
}

// TestLimitsAreBadgers: the constants are what follows from Badger's own.
func TestLimitsAreBadgers(t *testing.T) {
	s := openStore(t, realOptions(t.TempDir()))
	if s.db.MaxBatchSize() != MaxSmallBytes {
		t.Errorf("Badger's limit is %d, MaxSmallBytes %d", s.db.MaxBatchSize(), MaxSmallBytes)
	}
	if changes := s.db.MaxBatchCount() - groupOverhead().count - 1; changes != MaxBatchChanges {
		t.Errorf("Badger leaves room for %d changes, MaxBatchChanges is %d", changes, MaxBatchChanges)
	}
}

func TestTenThousandCollections(t *testing.T) {
	t.Parallel()
	const n, dropped = 10_000, 600
	o := testOptions(t.TempDir())
	s := openStore(t, o)
	for i := 0; i < n; i += 1000 {
		b := &Batch{}
		for j := i; j < i+1000; j++ {
			b.Puts = append(b.Puts, Put{Namespace: fmt.Sprint("n", j%7), Collection: fmt.Sprint("c", j), Key: "k", Value: []byte("1")})
		}
		propose(t, s, b)
	}
	closeStore(t, s)
	s = openStore(t, o)
	drops := &Batch{}
	for j := range dropped {
		drops.Drops = append(drops.Drops, Ref{fmt.Sprint("n", j%7), fmt.Sprint("c", j)})
	}
	propose(t, s, drops)
	v := openView(t, s)
	all, err := v.Collections("")
	if err != nil || len(all) != n-dropped {
		t.Fatalf("%d collections: %v", len(all), err)
	}
	if names, err := v.Namespaces(); err != nil || len(names) != 7 {
		t.Errorf("namespaces %q: %v", names, err)
	}
	counts, err := v.Counts(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		if counts[c.ID] != 1 {
			t.Fatalf("%s/%s counts %d", c.Namespace, c.Name, counts[c.ID])
		}
	}
	waitReaped(t, s, dropped)
	txn := openView(t, s).reader
	left := 0
	if err := txn.scan(recordsPrefix(), nil, func(*badger.Item) error { left++; return nil }); err != nil || left != n-dropped {
		t.Errorf("%d records are physically left, want %d: %v", left, n-dropped, err)
	}
}

// TestRewriteValueLog: overwritten large values give their space back, and a
// view that was open meanwhile reads what it should.
func TestRewriteValueLog(t *testing.T) {
	t.Parallel()
	o := testOptions(t.TempDir())
	o.tune = func(b *badger.Options) {
		small(b)
		b.ValueLogFileSize = 4 << 20
	}
	s := openStore(t, o)
	large := func(round, i int) string { return fmt.Sprintf(`"%d-%d-%s`, round, i, bigValue(valueThreshold)[1:]) }
	for round := range 2 {
		for i := range 5 {
			put(t, s, "c", fmt.Sprint(i), large(round, i))
		}
		s = reopenCompacted(t, s, o)
	}
	put(t, s, "c", "small", "1")
	s = reopenCompacted(t, s, o)
	v := openView(t, s)
	files, err := s.RewriteValueLog(context.Background())
	if err != nil || files == 0 {
		t.Errorf("rewrote %d files: %v", files, err)
	}
	put(t, s, "c", "after", "1")
	for _, v := range []*View{v, openView(t, s)} {
		for i := range 5 {
			value, _, err := v.Get("", "c", fmt.Sprint(i))
			if err != nil || string(value) != large(1, i) {
				t.Errorf("record %d: %d bytes: %v", i, len(value), err)
			}
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = s.RewriteValueLog(ctx)
	wantKind(t, err, fault.Canceled)
}
