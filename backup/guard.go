package backup

import (
	"runtime/debug"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup/fault"
)

const (
	damagedHint  = "the source database is damaged; no backup was made"
	panickedHint = damagedHint + ". Badger may hold a lock since and block when it writes or closes: restart the program"
)

// guarded calls fn, which reads db in the calling goroutine. Badger panics on
// damaged blocks, and a mapped file that is shorter than it was faults: both
// come back as errors of kind Corrupt that begin with op. Badger does not expect
// to be recovered and may keep a lock; still, the owner of the process should
// decide when it ends. In a database that
// was closed meanwhile they mean nothing, so that is the error then.
func guarded(db *badger.DB, op func() string, fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fault.New(fault.Corrupt, op(), "%s%.500v", panicPrefix(p), p).WithHint(panickedHint)
		}
		if db.IsClosed() {
			err = fault.New(fault.Other, op(), "the database was closed during the backup")
		}
	}()
	return fn()
}

// panicPrefix explains a fault, whose own text speaks of pointers.
func panicPrefix(p any) string {
	if _, ok := p.(interface{ Addr() uintptr }); ok {
		return "one of its mapped files could not be read: "
	}
	return ""
}

// discard ends a transaction. Badger panics when an iterator of it is open,
// which one is that failed while it was opened: guarded has reported that.
func discard(txn *badger.Txn) {
	defer func() { _ = recover() }()
	txn.Discard()
}
