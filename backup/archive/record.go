// Package archive is the data file format: records in chunks, chunks in gzip
// members, members in parts, and the part list that says what is where.
// docs/format.md is its specification.
package archive

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

// Record is one version of one key: a Badger pb.KV without its stream fields.
type Record struct {
	Key, Value []byte
	UserMeta   byte
	Meta       byte // MetaDelete, MetaDiscardEarlier, MetaMerge; other bits are dropped
	Version    uint64
	ExpiresAt  uint64 // Unix seconds, 0 for never
}

// The bits of Record.Meta, as Badger has them in its backups.
const (
	MetaDelete         = 1 << 0 // the key is deleted at this version
	MetaDiscardEarlier = 1 << 2 // versions below this one do not count
	MetaMerge          = 1 << 3 // a merge operator's operand: older versions count too
	metaMask           = MetaDelete | MetaDiscardEarlier | MetaMerge
)

// Deleted reports whether the record is a delete marker.
func (r *Record) Deleted() bool { return r.Meta&MetaDelete != 0 }

// Protocol buffer tags (field number << 3 | wire type) of pb.KV and pb.KVList
// in Badger v4's badgerpb4.proto.
const (
	tagKey       = 1<<3 | 2
	tagValue     = 2<<3 | 2
	tagUserMeta  = 3<<3 | 2
	tagVersion   = 4 << 3
	tagExpiresAt = 5 << 3
	tagMeta      = 6<<3 | 2
	tagListKV    = 1<<3 | 2
)

// AppendRecord appends r as one element of a pb.KVList, byte for byte as
// proto.Marshal writes it.
func AppendRecord(dst []byte, r *Record) []byte {
	dst = append(dst, tagListKV)
	dst = binary.AppendUvarint(dst, uint64(bodyLen(r)))
	return AppendKV(dst, r)
}

// AppendKV appends r as a pb.KV.
func AppendKV(dst []byte, r *Record) []byte {
	dst = append(dst, tagKey)
	dst = binary.AppendUvarint(dst, uint64(len(r.Key)))
	dst = append(dst, r.Key...)
	if len(r.Value) > 0 {
		dst = append(dst, tagValue)
		dst = binary.AppendUvarint(dst, uint64(len(r.Value)))
		dst = append(dst, r.Value...)
	}
	dst = append(dst, tagUserMeta, 1, r.UserMeta)
	if r.Version != 0 {
		dst = append(dst, tagVersion)
		dst = binary.AppendUvarint(dst, r.Version)
	}
	if r.ExpiresAt != 0 {
		dst = append(dst, tagExpiresAt)
		dst = binary.AppendUvarint(dst, r.ExpiresAt)
	}
	return append(dst, tagMeta, 1, r.Meta)
}

// bodyLen returns how many bytes AppendKV appends.
func bodyLen(r *Record) int {
	n := 1 + uvarintLen(uint64(len(r.Key))) + len(r.Key) + 3 + 3
	if len(r.Value) > 0 {
		n += 1 + uvarintLen(uint64(len(r.Value))) + len(r.Value)
	}
	if r.Version != 0 {
		n += 1 + uvarintLen(r.Version)
	}
	if r.ExpiresAt != 0 {
		n += 1 + uvarintLen(r.ExpiresAt)
	}
	return n
}

func uvarintLen(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

var errMalformed = errors.New("a record is malformed")

// parseRecord reads the first element of a pb.KVList into r, whose slices then
// alias list, and returns what follows it.
func parseRecord(list []byte, r *Record) (rest []byte, err error) {
	if len(list) == 0 || list[0] != tagListKV {
		return nil, errMalformed
	}
	size, n := binary.Uvarint(list[1:])
	if n <= 0 || size > uint64(len(list)-1-n) {
		return nil, errMalformed
	}
	body, rest := list[1+n:1+n+int(size)], list[1+n+int(size):]
	return rest, parseKV(body, r)
}

// parseKV reads a pb.KV. Unknown fields are malformed: what a reader would
// pass over, it would lose.
func parseKV(b []byte, r *Record) error {
	*r = Record{}
	for len(b) > 0 {
		tag := b[0]
		v, n := binary.Uvarint(b[1:])
		if n <= 0 {
			return errMalformed
		}
		b = b[1+n:]
		switch tag {
		case tagVersion:
			r.Version = v
			continue
		case tagExpiresAt:
			r.ExpiresAt = v
			continue
		}
		if v > uint64(len(b)) {
			return errMalformed
		}
		field := b[:v:v]
		b = b[v:]
		switch tag {
		case tagKey:
			r.Key = field
		case tagValue:
			r.Value = field
		case tagUserMeta, tagMeta:
			if len(field) != 1 {
				return errMalformed
			}
			if tag == tagMeta {
				r.Meta = field[0]
			} else {
				r.UserMeta = field[0]
			}
		default:
			return errMalformed
		}
	}
	if len(r.Key) == 0 || r.Meta&^metaMask != 0 {
		return errMalformed
	}
	return nil
}
