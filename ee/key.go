// Package ee holds the keys: where they come from, how they are named without
// being revealed, and the AES-CTR streams and MACs made with them. Nothing else
// in brock touches key bytes.
package ee

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"os"

	"github.com/brockdb/brock/backup/fault"
)

// IVSize is the length of the initial counter block in front of every
// encrypted object, in bytes.
const IVSize = aes.BlockSize

// MACSize is the length of a MAC in bytes.
const MACSize = sha256.Size

// Labels of the HKDF expansions (docs/format.md, "Keys"). They never change.
const (
	labelKeyID = "brock v1 key id"
	labelMAC   = "brock v1 manifest mac"
)

// What is printed in place of a key.
const (
	redacted = "[redacted]"
	noKey    = "none"
)

// Key is an AES key of 16, 24 or 32 bytes (AES-128, -192, -256). The zero Key
// means "not encrypted". It prints as "[redacted]" under every verb.
type Key struct {
	note   string // what a printer shows that may not call methods: of a struct with an unexported Key
	secret *hidden
}

// hidden keeps key material behind a function: a printer that is not to call
// methods follows pointers, when a verb does not fit, and prints what a struct
// holds. Of a function it prints the address.
type hidden struct{ material func() *keyMaterial }

// keyMaterial is everything derived from the key bytes, once.
type keyMaterial struct {
	block  cipher.Block
	macKey []byte
	id     string
	raw    []byte // for Badger, which encrypts directories itself
}

// NewKey returns the key made of raw, which must be 16, 24 or 32 bytes. raw
// itself is not kept: the caller may clear it.
func NewKey(raw []byte) (Key, error) {
	switch len(raw) {
	case 16, 24, 32:
	default:
		return Key{}, fault.New(fault.Usage, "use encryption key",
			"it has %d bytes; AES needs 16, 24 or 32 (AES-128, AES-192, AES-256)", len(raw))
	}
	block, err := aes.NewCipher(raw)
	if err != nil {
		return Key{}, fault.Wrap(err, "use encryption key")
	}
	id, err := hkdf.Key(sha256.New, raw, nil, labelKeyID, 8)
	if err != nil {
		return Key{}, fault.Wrap(err, "derive key id")
	}
	macKey, err := hkdf.Key(sha256.New, raw, nil, labelMAC, sha256.Size)
	if err != nil {
		return Key{}, fault.Wrap(err, "derive MAC key")
	}
	m := &keyMaterial{block: block, macKey: macKey, id: hex.EncodeToString(id), raw: bytes.Clone(raw)}
	return Key{redacted, &hidden{func() *keyMaterial { return m }}}, nil
}

// ReadKeyFile reads a key from a file whose whole content is the key. A
// trailing newline, which an editor or echo leaves, is an error of its own.
func ReadKeyFile(path string) (Key, error) {
	const maxFile = 4096
	info, err := os.Stat(path)
	if err != nil {
		return Key{}, fault.Wrap(err, "read encryption key file")
	}
	if info.IsDir() || info.Size() > maxFile {
		return Key{}, fault.New(fault.Usage, "read encryption key file "+path,
			"it is not a file of 16, 24 or 32 bytes")
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return Key{}, fault.Wrap(err, "read encryption key file")
	}
	defer clear(raw)
	if n := len(raw); n > 0 && raw[n-1] == '\n' && (n == 17 || n == 25 || n == 33) {
		return Key{}, fault.New(fault.Usage, "use encryption key file "+path,
			"it ends in a newline after %d bytes; the whole content is the key", n-1).
			WithHint("write the key without a newline: printf %%s KEY > FILE, or head -c 32 /dev/urandom > FILE")
	}
	key, err := NewKey(raw)
	return key, fault.Wrap(err, "use encryption key file %s", path)
}

// IsZero reports whether there is no key.
func (k Key) IsZero() bool { return k.secret == nil }

// ID returns the key's fingerprint, 16 hex digits of HKDF-SHA256 over the key:
// it names the key without revealing it. It is "" for the zero Key.
func (k Key) ID() string {
	if k.secret == nil {
		return ""
	}
	return k.secret.material().id
}

// String returns "[redacted]", or "none" for the zero Key.
func (k Key) String() string {
	if k.secret == nil {
		return noKey
	}
	return redacted
}

// GoString is String: %#v must not reveal more than %v.
func (k Key) GoString() string { return k.String() }

// Format writes String for every verb.
func (k Key) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(k.String())) }

// MarshalText makes every encoder print String as well.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// NewIV returns a random initial counter block.
//
// A stream uses one counter value per 16 bytes, so two streams of at most 2^44
// bytes under one key overlap with probability below n^2 * 2^41 / 2^128 for n
// streams: below 2^-47 after 2^20 parts of 16 TiB each.
func NewIV() [IVSize]byte {
	var iv [IVSize]byte
	_, _ = rand.Read(iv[:]) // never fails: crypto/rand aborts the program instead
	return iv
}

// Stream returns the AES-CTR key stream that begins with counter block iv,
// positioned offset bytes in: encrypting and decrypting are the same XOR.
// The key must not be zero.
func (k Key) Stream(iv [IVSize]byte, offset int64) cipher.Stream {
	hi := binary.BigEndian.Uint64(iv[:8])
	lo := binary.BigEndian.Uint64(iv[8:])
	sum := lo + uint64(offset)/aes.BlockSize
	if sum < lo {
		hi++
	}
	binary.BigEndian.PutUint64(iv[:8], hi)
	binary.BigEndian.PutUint64(iv[8:], sum)
	stream := cipher.NewCTR(k.secret.material().block, iv[:])
	if skip := offset % aes.BlockSize; skip > 0 {
		var drop [aes.BlockSize]byte
		stream.XORKeyStream(drop[:skip], drop[:skip])
	}
	return stream
}

// Reader returns a reader that decrypts, or encrypts, what it reads of r: the
// bytes of a stream from offset on. See Stream.
func (k Key) Reader(r io.Reader, iv [IVSize]byte, offset int64) io.Reader {
	return cipher.StreamReader{S: k.Stream(iv, offset), R: r}
}

// Writer returns a writer that encrypts, or decrypts, what it writes to w: the
// bytes of a stream from offset on. See Stream.
func (k Key) Writer(w io.Writer, iv [IVSize]byte, offset int64) io.Writer {
	return cipher.StreamWriter{S: k.Stream(iv, offset), W: w}
}

// MAC returns HMAC-SHA256 over data under a key derived for this purpose only.
// The key must not be zero.
func (k Key) MAC(data []byte) []byte {
	h := hmac.New(sha256.New, k.secret.material().macKey)
	h.Write(data)
	return h.Sum(nil)
}

// CheckMAC reports in constant time whether mac is the MAC of data.
func (k Key) CheckMAC(data, mac []byte) bool { return hmac.Equal(k.MAC(data), mac) }
