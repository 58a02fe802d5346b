package backup

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	badger "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"github.com/brockdb/brock/backup/fault"
)

// DirOptions say how to open a Badger directory that no process has open.
type DirOptions struct {
	Dir      string
	ValueDir string // of the value log, where that is elsewhere; "" means Dir

	// AtRestKey is the key that Badger itself encrypts the directory with; empty
	// for none.
	AtRestKey []byte

	BlockCacheBytes int64 // memory for decompressed blocks; 0 means 64 MiB
}

// DirSource is a Source for a Badger directory that no process has open, of
// whatever program. The directory is opened read-only: nothing in it changes.
//
// What made the directory cannot be asked whether every delete since an earlier
// backup is still visible in it, so each backup is a full that begins a series;
// take it with ForceFull. The identity is another each time.
type DirSource struct {
	db *badger.DB
	id string

	// Describe, when set, is called with each snapshot before it is read, to say
	// what its keys are.
	Describe func(*Snapshot) error
}

// OpenDir opens a directory. Kinds: NotFound; Usage, when it is no Badger
// directory; Locked, when a process has it open; WrongKey and KeyMissing, of the
// key at rest; Other with a hint, when it was not closed and has to be recovered
// first, which would change it.
func OpenDir(o DirOptions) (*DirSource, error) {
	op := "open Badger directory " + o.Dir
	if err := checkOracle(); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(o.Dir, badger.ManifestFilename)); err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, fault.Wrap(err, "%s", op)
		}
		if _, err := os.Stat(o.Dir); errors.Is(err, fs.ErrNotExist) {
			return nil, fault.New(fault.NotFound, op, "there is no such directory")
		}
		return nil, fault.New(fault.Usage, op, "it has no file %s", badger.ManifestFilename).
			WithHint("name the directory that Badger itself was opened with, such as p of an alpha")
	}
	if o.ValueDir == "" {
		o.ValueDir = o.Dir
	}
	if o.BlockCacheBytes == 0 {
		o.BlockCacheBytes = 64 << 20
	}
	opts := badger.DefaultOptions(o.Dir).WithValueDir(o.ValueDir).WithReadOnly(true).
		WithLogger(nil).WithMetricsEnabled(false).WithDetectConflicts(false).
		WithBlockCacheSize(o.BlockCacheBytes).WithNumVersionsToKeep(1 << 30).
		WithChecksumVerificationMode(options.OnBlockRead).WithVerifyValueChecksum(true)
	if len(o.AtRestKey) > 0 {
		opts = opts.WithEncryptionKey(o.AtRestKey).WithIndexCacheSize(o.BlockCacheBytes)
	}
	db, err := openReadOnly(opts)
	if err != nil {
		return nil, openDirError(op, err, len(o.AtRestKey) > 0)
	}
	return &DirSource{db: db, id: randomHex(16)}, nil
}

// openReadOnly opens a database; Badger panics over some kinds of damage.
func openReadOnly(opts badger.Options) (db *badger.DB, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fault.New(fault.Corrupt, "read it", "Badger gave up: %v", p)
		}
	}()
	return badger.OpenManaged(opts)
}

// openDirError says what an error of Badger means for somebody who may not
// change the directory.
func openDirError(op string, err error, keyed bool) error {
	text := err.Error()
	switch {
	case errors.Is(err, badger.ErrTruncateNeeded) || strings.Contains(text, badger.ErrTruncateNeeded.Error()):
		return fault.New(fault.Other, op, "the process that had it open died, and it has to be recovered first: %w", err).
			WithHint("let its own program open and close it once, or do that with a copy of the directory; a backup changes nothing in it")
	case strings.Contains(text, "Cannot acquire directory lock"):
		return fault.New(fault.Locked, op, "a process has it open").
			WithHint("back up a running alpha with brock backup -d URI --alpha URL; end another program first, or copy a snapshot of the file system")
	case errors.Is(err, badger.ErrEncryptionKeyMismatch) && keyed:
		return fault.New(fault.WrongKey, op, "it is encrypted with another key than the one given")
	case errors.Is(err, badger.ErrEncryptionKeyMismatch):
		return fault.New(fault.KeyMissing, op, "Badger has encrypted it, and no key was given").
			WithHint("give the key that the program opens it with: --badger_key_file")
	case errors.Is(err, badger.ErrInvalidEncryptionKey):
		return fault.New(fault.Usage, op, "%w", err)
	}
	return fault.Wrap(err, "%s", op)
}

// DB returns the open database, which is read-only and managed.
func (s *DirSource) DB() *badger.DB { return s.db }

// Close closes the directory.
func (s *DirSource) Close() error {
	return fault.Wrap(s.db.Close(), "close Badger directory %s", s.db.Opts().Dir)
}

// Identity implements Source.
func (s *DirSource) Identity() string { return s.id }

// Begin implements Source. No marker is committed: nothing is.
func (s *DirSource) Begin(ctx context.Context) (snap *Snapshot, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	err = guarded(s.db, func() string { return "read the database" }, func() error {
		readTs := max(s.db.MaxVersion(), 1)
		txn := s.db.NewTransactionAt(readTs, false)
		snap = &Snapshot{DB: s.db, Txn: txn, ReadTs: readTs, Skip: [][]byte{reservedPrefix}, Foreign: s.Describe == nil, Close: func() { discard(txn) }}
		if s.Describe != nil {
			return s.Describe(snap)
		}
		return nil
	})
	if err != nil && snap != nil {
		snap.Close()
	}
	return snap, err
}

// Extendable implements Source: nothing can be proven about a directory.
func (s *DirSource) Extendable(context.Context, Head) (string, error) {
	return "a directory that no process has open cannot prove that deletes since the last backup are still visible", nil
}

// Prepare implements Source.
func (s *DirSource) Prepare(context.Context, *Snapshot, Head) error { return nil }

// Committed implements Source.
func (s *DirSource) Committed(context.Context, Head) error { return nil }
