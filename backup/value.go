package backup

import (
	"encoding/binary"
	"fmt"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup/fault"
)

// metaValuePointer is the bit of Badger's hidden meta byte that says that the
// value is in the value log.
const metaValuePointer = 1 << 1

// checkValue finds what Badger does not report: it logs a failed read of the
// value log and returns no value and no error.
func checkValue(item *badger.Item, v []byte, pointer bool) error {
	want := item.ValueSize()
	if pointer {
		want = valueLogSize(want, len(item.Key()), item.ExpiresAt())
	}
	if int64(len(v)) == want && (!pointer || v != nil) {
		return nil
	}
	return fault.New(fault.Corrupt, fmt.Sprintf("read the value of key %x version %d", clip(item.Key()), item.Version()),
		"the database returned %d bytes where %d are stored", len(v), want).
		WithHint("its value log is damaged or a file of it is missing; no backup was made")
}

// valueLogSize returns the length of a value in the value log. Item.ValueSize
// assumes that the entry's header there has 6 bytes. It has two, then the
// lengths of the key with its 8-byte version and of the value, and the expiry,
// as varints.
func valueLogSize(assumed int64, keyBytes int, expiresAt uint64) int64 {
	rest := assumed + 6 - 2 - uvarintBytes(uint64(keyBytes)+8) - uvarintBytes(expiresAt)
	for n := int64(1); n < binary.MaxVarintLen64; n++ {
		if size := rest - n; size >= 0 && uvarintBytes(uint64(size)) == n {
			return size
		}
	}
	return -1
}

func uvarintBytes(v uint64) int64 {
	var b [binary.MaxVarintLen64]byte
	return int64(binary.PutUvarint(b[:], v))
}
