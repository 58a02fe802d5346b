package store

import (
	"bytes"
	"encoding/binary"
)

// The keyspace (docs/keyspace.md). The first byte of a key says what it is:
//
//	0x01 | namespace | 0x00 | collection   catalog record, JSON
//	0x01 | 0x00 | name                     counter of the catalog range, JSON
//	0x02 | collection id, 8 bytes BE | key record, JSON
//	0xff | space | '/' | key               local record, never backed up
//
// The functions below are the only ones that build or take apart a key.
const (
	kindCatalog byte = 0x01
	kindRecord  byte = 0x02
	kindLocal   byte = 0xff
)

const (
	recordKeyOverhead = 1 + 8

	// A namespace is never empty, so these sort in front of all collections.
	counterNextID = "next_id" // the id the next collection gets
	counterMaxUID = "max_uid" // the highest uid handed out
)

// catalogPrefix covers the catalog: collections and counters.
func catalogPrefix() []byte { return []byte{kindCatalog} }

// recordsPrefix covers the records of all collections.
func recordsPrefix() []byte { return []byte{kindRecord} }

// localPrefix covers everything that belongs to this directory alone.
func localPrefix() []byte { return []byte{kindLocal} }

// namespacePrefix covers the catalog records of one namespace.
func namespacePrefix(namespace string) []byte {
	key := make([]byte, 0, len(namespace)+2)
	key = append(key, kindCatalog)
	key = append(key, namespace...)
	return append(key, 0)
}

// afterNamespace sorts after all catalog records of a namespace and before
// those of the next one.
func afterNamespace(namespace string) []byte {
	key := namespacePrefix(namespace)
	key[len(key)-1] = 1
	return key
}

// catalogKey is the key of a collection's catalog record.
func catalogKey(ref Ref) []byte {
	return append(namespacePrefix(ref.Namespace), ref.Collection...)
}

// parseCatalogKey is the inverse of catalogKey. It returns false for counters
// and for what catalogKey never makes.
func parseCatalogKey(key []byte) (Ref, bool) {
	if len(key) == 0 || key[0] != kindCatalog {
		return Ref{}, false
	}
	namespace, collection, found := bytes.Cut(key[1:], []byte{0})
	ref := Ref{string(namespace), string(collection)}
	if !found || nameFlaw(ref.Namespace) != "" || nameFlaw(ref.Collection) != "" {
		return Ref{}, false
	}
	return ref, true
}

// counterKey is the key of a counter in the catalog range.
func counterKey(name string) []byte {
	return append([]byte{kindCatalog, 0}, name...)
}

// recordPrefix covers the records of one collection.
func recordPrefix(id uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{kindRecord}, id)
}

// appendRecordKey appends the key of a record to dst.
func appendRecordKey(dst []byte, id uint64, key string) []byte {
	dst = append(dst, kindRecord)
	dst = binary.BigEndian.AppendUint64(dst, id)
	return append(dst, key...)
}

// recordKey is the key of a record.
func recordKey(id uint64, key string) []byte {
	return appendRecordKey(make([]byte, 0, recordKeyOverhead+len(key)), id, key)
}

// parseRecordKey is the inverse of recordKey. The returned slice points into key.
func parseRecordKey(key []byte) (id uint64, user []byte, ok bool) {
	if len(key) <= recordKeyOverhead || key[0] != kindRecord {
		return 0, nil, false
	}
	return binary.BigEndian.Uint64(key[1:]), key[recordKeyOverhead:], true
}

// localSpace covers the local records of one space.
func localSpace(space string) []byte {
	key := make([]byte, 0, len(space)+2)
	key = append(key, kindLocal)
	key = append(key, space...)
	return append(key, '/')
}

// localKey is the key of a local record.
func localKey(space, key string) []byte {
	return append(localSpace(space), key...)
}

// parseLocalKey is the inverse of localKey.
func parseLocalKey(key []byte) (space, local string, ok bool) {
	if len(key) == 0 || key[0] != kindLocal {
		return "", "", false
	}
	before, after, found := bytes.Cut(key[1:], []byte{'/'})
	if !found || spaceFlaw(string(before)) != "" || len(after) == 0 {
		return "", "", false
	}
	return string(before), string(after), true
}
