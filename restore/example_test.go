package restore_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/restore"
)

// A program verifies what it has backed up, and restores it into a database in
// memory.
func ExampleRestore() {
	if err := verifyAndRestore(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// good: true, backups: 1, records: 1
	// restored 1 records
}

func verifyAndRestore(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "brock-example-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) // it is temporary
	backups, err := destination.Open(ctx, filepath.Join(dir, "backups"), destination.Options{})
	if err != nil {
		return err
	}
	if err := backUpOneRecord(ctx, backups); err != nil {
		return err
	}

	report, err := (&restore.Verify{Source: backups, Level: restore.Every}).Run(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("good: %v, backups: %d, records: %d\n", report.Good, report.Series[0].Backups, report.Series[0].Records)

	db, err := badger.Open(badger.DefaultOptions("").WithInMemory(true).WithLogger(nil))
	if err != nil {
		return err
	}
	defer db.Close() // it is in memory
	result, err := (&restore.Restore{Source: backups, DB: db}).Run(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("restored %d records\n", result.Records)
	return nil
}

func backUpOneRecord(ctx context.Context, backups destination.Destination) error {
	db, err := badger.Open(badger.DefaultOptions("").WithInMemory(true).WithLogger(nil))
	if err != nil {
		return err
	}
	defer db.Close() // it is in memory
	source, err := backup.Unmanaged(db)
	if err != nil {
		return err
	}
	defer source.Close()
	if err := db.Update(func(txn *badger.Txn) error { return txn.Set([]byte("key"), []byte("value")) }); err != nil {
		return err
	}
	_, err = (&backup.Backup{Source: source, Destination: backups}).Run(ctx)
	return err
}
