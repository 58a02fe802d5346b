package backup

import (
	"fmt"
	"reflect"
	"sync"
	"unsafe"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup/fault"
)

// Badger's oracle counts transactions and holds the discard timestamp. Badger
// does not say what that is, and ends the process when it is lowered; and when
// a StreamWriter fills a database, Badger replaces the oracle, and ends the
// process over a transaction that the new one does not know.

// oracleLayout is where the fields of badger.DB and its oracle are that brock
// reads.
type oracleLayout struct{ oracle, mutex, discardTs []int }

var oracleFields = sync.OnceValues(func() (*oracleLayout, error) {
	oracle, ok := reflect.TypeFor[badger.DB]().FieldByName("orc")
	if !ok || oracle.Type.Kind() != reflect.Pointer || oracle.Type.Elem().Kind() != reflect.Struct {
		return nil, fmt.Errorf("badger.DB.orc is not what it was")
	}
	mutex, hasMutex := oracle.Type.Elem().FieldByName("Mutex")
	discardTs, hasDiscard := oracle.Type.Elem().FieldByName("discardTs")
	if !hasMutex || !hasDiscard || mutex.Type != reflect.TypeFor[sync.Mutex]() || discardTs.Type.Kind() != reflect.Uint64 {
		return nil, fmt.Errorf("badger's oracle is not what it was")
	}
	return &oracleLayout{oracle.Index, mutex.Index, discardTs.Index}, nil
})

// checkOracle refuses a Badger whose oracle is unknown.
func checkOracle() error {
	if _, err := oracleFields(); err != nil {
		return fault.New(fault.Other, "back up with this Badger version", "%w", err).WithHint(otherBadgerHint)
	}
	return nil
}

// oracleOf identifies the present oracle of db.
func oracleOf(db *badger.DB) uintptr {
	l, err := oracleFields()
	if err != nil {
		return 0
	}
	return reflect.ValueOf(db).Elem().FieldByIndex(l.oracle).Pointer()
}

// discardTsOf returns the timestamp at and below which a managed db may have
// dropped what is not the newest. Sources have called checkOracle.
func discardTsOf(db *badger.DB) uint64 {
	l, err := oracleFields()
	if err != nil {
		return 0
	}
	oracle := reflect.ValueOf(db).Elem().FieldByIndex(l.oracle).Elem()
	// The fields are unexported, so they can be used through their address only.
	mu := (*sync.Mutex)(unsafe.Pointer(oracle.FieldByIndex(l.mutex).UnsafeAddr()))
	mu.Lock()
	defer mu.Unlock()
	return oracle.FieldByIndex(l.discardTs).Uint()
}
