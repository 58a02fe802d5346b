package destination_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"

	"github.com/brockdb/brock/backup/destination"
)

// An object is visible once its Commit has returned, and not before.
func ExampleNewDir() {
	ctx := context.Background()
	parent, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(parent)
	d, err := destination.NewDir(filepath.Join(parent, "backups"))
	if err != nil {
		log.Fatal(err)
	}

	w, err := d.Create(ctx, "folder/object", destination.Exclusive)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = w.Abort() }() // does nothing after Commit
	if _, err := io.WriteString(w, "content"); err != nil {
		log.Fatal(err)
	}
	if err := w.Commit(ctx); err != nil {
		log.Fatal(err)
	}

	err = d.List(ctx, "folder", func(info destination.Info) error {
		fmt.Println(info.Name, info.Size)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: folder/object 7
}

// A writer holds the lease of a destination for as long as it writes there, and
// asks once more before it commits what counts.
func ExampleAcquireLease() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	d, err := destination.Open(ctx, "file://"+dir, destination.Options{})
	if err != nil {
		log.Fatal(err)
	}

	lease, err := destination.AcquireLease(ctx, d, destination.LeaseOptions{Owner: "alpha-1", Purpose: "backup"})
	if err != nil {
		log.Fatal(err)
	}
	// Write, and stop early when lease.Lost() is closed.
	if err := lease.Check(ctx); err != nil {
		log.Fatal(err)
	}
	if err := lease.Release(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println("released lease", lease.Epoch())
	// Output: released lease 1
}
