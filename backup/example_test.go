package backup_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"sync/atomic"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/restore"
)

// A program with a Badger of its own backs it up twice while it runs, and
// restores the first of the two.
func ExampleUnmanaged() {
	if err := unmanaged(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// backup 1 is full: 2 records
	// backup 2 is incremental: 1 records
	// restored: hello = world
}

func unmanaged(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "brock-example-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) // it is temporary

	db, err := badger.Open(badger.DefaultOptions(filepath.Join(dir, "db")).WithLogger(nil))
	if err != nil {
		return err
	}
	defer db.Close() // a real program checks it

	// From before the first backup until the program ends: what a source keeps
	// visible for incrementals, it keeps as long as it is open.
	source, err := backup.Unmanaged(db)
	if err != nil {
		return err
	}
	defer source.Close()
	backups, err := destination.Open(ctx, filepath.Join(dir, "backups"), destination.Options{})
	if err != nil {
		return err
	}
	job := &backup.Backup{Source: source, Destination: backups}

	for _, hello := range []string{"world", "again"} {
		err := db.Update(func(txn *badger.Txn) error {
			if hello == "world" {
				if err := txn.Set([]byte("other"), []byte("unchanged")); err != nil {
					return err
				}
			}
			return txn.Set([]byte("hello"), []byte(hello))
		})
		if err != nil {
			return err
		}
		m, err := job.Run(ctx)
		if err != nil {
			return err
		}
		fmt.Printf("backup %d is %s: %d records\n", m.BackupNum, m.Type, m.Records)
	}

	result, err := (&restore.Restore{Source: backups, BackupNum: 1, Dir: filepath.Join(dir, "restored")}).Run(ctx)
	if err != nil {
		return err
	}
	restored, err := badger.Open(badger.DefaultOptions(result.Dirs[0]).WithLogger(nil))
	if err != nil {
		return err
	}
	defer restored.Close() // it was only read
	return restored.View(func(txn *badger.Txn) error {
		item, err := txn.Get([]byte("hello"))
		if err != nil {
			return err
		}
		return item.Value(func(v []byte) error {
			fmt.Printf("restored: hello = %s\n", v)
			return nil
		})
	})
}

// A program that assigns the commit timestamps itself says what can be read, and
// lets the source decide what Badger may discard.
func ExampleManaged() {
	if err := managed(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// backup 1 ends at version 2
	// backup 2 begins after version 2 and ends at 4
}

func managed(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "brock-example-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) // it is temporary

	db, err := badger.OpenManaged(badger.DefaultOptions(filepath.Join(dir, "db")).WithLogger(nil))
	if err != nil {
		return err
	}
	defer db.Close() // a real program checks it

	var committed atomic.Uint64 // this program commits one transaction after the other
	commit := func(key, value string) (uint64, error) {
		ts := committed.Load() + 1
		txn := db.NewTransactionAt(ts-1, true)
		defer txn.Discard()
		if err := txn.Set([]byte(key), []byte(value)); err != nil {
			return 0, err
		}
		if err := txn.CommitAt(ts, nil); err != nil {
			return 0, err
		}
		committed.Store(ts)
		return ts, nil
	}
	source, err := backup.Managed(db, backup.ManagedOptions{
		ReadTs: committed.Load,
		Marker: func(context.Context) (uint64, error) { return commit("marker", "") },
	})
	if err != nil {
		return err
	}
	backups, err := destination.Open(ctx, filepath.Join(dir, "backups"), destination.Options{})
	if err != nil {
		return err
	}
	job := &backup.Backup{Source: source, Destination: backups}
	for _, value := range []string{"one", "two"} {
		ts, err := commit("key", value)
		if err != nil {
			return err
		}
		source.SetDiscardTs(ts) // instead of db.SetDiscardTs
		m, err := job.Run(ctx)
		if err != nil {
			return err
		}
		if m.Since == 0 {
			fmt.Printf("backup %d ends at version %d\n", m.BackupNum, m.ReadTs)
		} else {
			fmt.Printf("backup %d begins after version %d and ends at %d\n", m.BackupNum, m.Since, m.ReadTs)
		}
	}
	return nil
}
