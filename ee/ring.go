package ee

import (
	"fmt"
	"slices"
	"strings"

	"github.com/brockdb/brock/backup/fault"
)

// KeyRing is the keys that an operation may use, each found by its key id: those
// of a series that is read, before and after a rotation. The zero KeyRing has no
// keys. A KeyRing is not changed after it was made, and prints as "[redacted]"
// under every verb.
type KeyRing struct {
	note    string // as in Key
	keys    []Key
	orPlain bool
}

// NewKeyRing returns the ring of the keys, in this order. Zero keys and keys
// that stand in it already are left out.
func NewKeyRing(keys ...Key) KeyRing { return KeyRing{}.With(keys...) }

// With returns the ring with further keys at its end.
func (r KeyRing) With(keys ...Key) KeyRing {
	ring := KeyRing{keys: slices.Clone(r.keys), orPlain: r.orPlain}
	for _, k := range keys {
		if _, known := ring.Find(k.ID()); !known && !k.IsZero() {
			ring.keys = append(ring.keys, k)
		}
	}
	if len(ring.keys) > 0 {
		ring.note = redacted
	}
	return ring
}

// Join returns the keys of r, then those of other.
func (r KeyRing) Join(other KeyRing) KeyRing { return r.With(other.keys...) }

// OrPlain returns a ring that takes what is not encrypted as well. Without it a
// ring with keys refuses that: who can write to a destination could have put a
// plain series in the place of an encrypted one.
func (r KeyRing) OrPlain() KeyRing {
	r.orPlain = true
	return r
}

// TakesPlain reports whether what is not encrypted is taken.
func (r KeyRing) TakesPlain() bool { return r.orPlain || r.IsZero() }

// IsZero reports whether there are no keys.
func (r KeyRing) IsZero() bool { return len(r.keys) == 0 }

// First returns the key that was named first, the one to encrypt with, or the
// zero Key.
func (r KeyRing) First() Key {
	if r.IsZero() {
		return Key{}
	}
	return r.keys[0]
}

// Keys returns the keys.
func (r KeyRing) Keys() []Key { return slices.Clone(r.keys) }

// IDs returns the key ids: they name keys and do not reveal them.
func (r KeyRing) IDs() []string {
	ids := make([]string, len(r.keys))
	for i, k := range r.keys {
		ids[i] = k.ID()
	}
	return ids
}

// Find returns the key with an id.
func (r KeyRing) Find(id string) (Key, bool) {
	for _, k := range r.keys {
		if k.ID() == id {
			return k, true
		}
	}
	return Key{}, false
}

// Need is Find with an error that says which key is needed and which there are.
// Kinds: KeyMissing without any key, WrongKey when the ring has others.
func (r KeyRing) Need(id, op string) (Key, error) {
	key, found := r.Find(id)
	switch {
	case found:
		return key, nil
	case r.IsZero():
		return Key{}, fault.New(fault.KeyMissing, op, "it is encrypted: key %s is needed, and no key was given", id).
			WithHint("give the key with --encryption_key_file, or take it from Vault with --vault_addr")
	}
	return Key{}, fault.New(fault.WrongKey, op, "it is encrypted: key %s is needed, the ring has %s", id, strings.Join(r.IDs(), ", ")).
		WithHint("give the key that it was made with as well: --encryption_key_file may be repeated, and --vault_version may name several versions")
}

// String returns "[redacted]", or "none" for the zero KeyRing.
func (r KeyRing) String() string {
	if r.IsZero() {
		return noKey
	}
	return redacted
}

// GoString is String.
func (r KeyRing) GoString() string { return r.String() }

// Format writes String for every verb.
func (r KeyRing) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(r.String())) }

// MarshalText makes every encoder print String as well.
func (r KeyRing) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// ReadKeyFiles returns the ring of the keys in files, in this order. See
// ReadKeyFile.
func ReadKeyFiles(paths ...string) (KeyRing, error) {
	keys := make([]Key, len(paths))
	for i, path := range paths {
		var err error
		if keys[i], err = ReadKeyFile(path); err != nil {
			return KeyRing{}, err
		}
	}
	return NewKeyRing(keys...), nil
}
