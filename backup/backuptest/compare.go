package backuptest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"testing"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/ee"
)

// Read returns all that can be read in an unmanaged database.
func Read(t testing.TB, db *badger.DB) State {
	t.Helper()
	var out State
	err := db.View(func(txn *badger.Txn) error {
		out = ReadTxn(t, txn)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// ReadTxn returns all that a transaction can read.
func ReadTxn(t testing.TB, txn *badger.Txn) State {
	t.Helper()
	out := State{}
	it := txn.NewIterator(badger.IteratorOptions{})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		item := it.Item()
		v, err := item.ValueCopy(nil)
		if err != nil {
			t.Fatal(err)
		}
		out[string(item.Key())] = Entry{string(v), item.UserMeta(), item.ExpiresAt()}
	}
	return out
}

// ReadOptions are Badger's defaults for a database that is only read, with
// less memory.
func ReadOptions(dir string) badger.Options {
	return badger.DefaultOptions(dir).WithLogger(nil).WithMetricsEnabled(false).
		WithMemTableSize(8 << 20).WithBlockCacheSize(8 << 20).WithNumCompactors(2)
}

// ReadDir opens a restored directory as an unmanaged database and reads it.
func ReadDir(t testing.TB, dir string) State {
	t.Helper()
	db, err := badger.Open(ReadOptions(dir))
	if err != nil {
		t.Fatal(err)
	}
	out := Read(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return out
}

// Equal compares what was read with what should be there.
func Equal(t testing.TB, what string, got, want State) {
	t.Helper()
	differences := 0
	report := func(format string, args ...any) {
		if differences++; differences <= 5 {
			t.Errorf(what+": "+format, args...)
		}
	}
	for k, w := range want {
		if g, ok := got[k]; !ok {
			report("key %.80q is missing", k)
		} else if g != w {
			report("key %.80q is %.60v, not %.60v", k, g, w)
		}
	}
	for k := range got {
		if _, ok := want[k]; !ok {
			report("key %.80q was invented", k)
		}
	}
	if differences > 5 {
		t.Errorf("%s: %d differences in all", what, differences)
	}
}

// Record is one version of one key.
type Record struct {
	Key       string
	Version   uint64
	Value     string
	UserMeta  byte
	ExpiresAt uint64
	Deleted   bool
	Discards  bool // earlier versions
}

// Records returns every version of every key of the managed or unmanaged
// database in dir.
func Records(t testing.TB, dir string) []Record {
	t.Helper()
	db, err := badger.OpenManaged(ReadOptions(dir))
	if err != nil {
		t.Fatal(err)
	}
	txn := db.NewTransactionAt(math.MaxUint64, false)
	out := RecordsTxn(t, txn)
	txn.Discard()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return out
}

// RecordsTxn returns every version of every key that a transaction sees.
func RecordsTxn(t testing.TB, txn *badger.Txn) []Record {
	t.Helper()
	var out []Record
	it := txn.NewIterator(badger.IteratorOptions{AllVersions: true})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		item := it.Item()
		v, err := item.ValueCopy(nil)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, Record{Key: string(item.Key()), Version: item.Version(), Value: string(v), UserMeta: item.UserMeta(),
			ExpiresAt: item.ExpiresAt(), Deleted: item.IsDeletedOrExpired(), Discards: item.DiscardEarlierVersions()})
	}
	return out
}

// Digest sums up records.
func Digest(records []Record) string {
	sum := sha256.New()
	for _, r := range records {
		sum.Write(fmt.Appendf(nil, "%+q\n", fmt.Sprint(r)))
	}
	return fmt.Sprintf("%d records, %s", len(records), hex.EncodeToString(sum.Sum(nil)))
}

// OpenDir opens the directory destination dir.
func OpenDir(t testing.TB, dir string) destination.Destination {
	t.Helper()
	d, err := destination.Open(t.Context(), dir, destination.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Key returns an encryption key of the given size in bytes, or none for 0.
func Key(t testing.TB, size int) ee.Key {
	t.Helper()
	if size == 0 {
		return ee.Key{}
	}
	key, err := ee.NewKey(bytes.Repeat([]byte{7}, size))
	if err != nil {
		t.Fatal(err)
	}
	return key
}
