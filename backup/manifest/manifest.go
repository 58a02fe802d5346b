// Package manifest is the JSON file whose presence makes a backup exist, and
// the rules by which manifests form a series. docs/format.md specifies both.
package manifest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/ee"
)

// FileName is the manifest's name inside a backup's folder.
const FileName = "manifest.json"

// FormatVersion is the version of the format that this package writes, and the
// only one that it reads.
const FormatVersion = 1

// MaxBytes bounds what is read as a manifest. 100,000 collections take 14 MB.
const MaxBytes = 64 << 20

// The values of Manifest.Type.
const (
	Full        = "full"
	Incremental = "incremental"
)

// ForeignKeyspace is the value of Manifest.Keyspace for a Badger directory of a
// program that brock knows nothing of: every key is restored as it is.
const ForeignKeyspace = "badger"

// CompressionGzip is the only value of Manifest.Compression.
const CompressionGzip = "gzip"

// Manifest describes one backup: a full one, or an increment of its series.
// The first ten fields are Dgraph's.
type Manifest struct {
	Type        string            `json:"type"`
	Since       uint64            `json:"since"`
	ReadTs      uint64            `json:"read_ts"`
	Groups      map[uint32]*Group `json:"groups"`
	BackupID    string            `json:"backup_id"`
	BackupNum   int               `json:"backup_num"`
	Path        string            `json:"path"`
	Encrypted   bool              `json:"encrypted"`
	Compression string            `json:"compression"`
	Version     int               `json:"version"`

	DBID       string    `json:"db_id"`
	CreatedAt  time.Time `json:"created_at"`
	FinishedAt time.Time `json:"finished_at"`
	// Parent is the SHA-256 of the previous manifest of the series, "" in a full.
	Parent string `json:"parent,omitempty"`
	// KeyID names the encryption key without revealing it.
	KeyID string `json:"key_id,omitempty"`
	// MaxUID is the highest uid handed out at ReadTs.
	MaxUID uint64 `json:"max_uid"`
	// AllVersions is set when every version in (Since, ReadTs] is held, not
	// just the newest of each key.
	AllVersions bool `json:"all_versions,omitempty"`
	// Partial is set when the backup holds some collections only: those of its
	// groups, which Selection chose. A partial series is of one selection.
	Partial   bool      `json:"partial,omitempty"`
	Selection Selection `json:"selection,omitzero"`
	// Reason says why a full was taken.
	Reason string `json:"reason,omitempty"`
	// Keyspace says whose keys these are: ForeignKeyspace, or "" where the program
	// that restores knows.
	Keyspace string `json:"keyspace,omitempty"`

	Totals
}

// Totals sums up what a backup, or one group of it, holds.
type Totals struct {
	Parts       int   `json:"parts"`
	Records     int64 `json:"records"`
	RawBytes    int64 `json:"raw_bytes"`    // before compression
	StoredBytes int64 `json:"stored_bytes"` // parts only, as stored
}

// Group is one group's share of a backup.
type Group struct {
	Totals
	PartList    Object       `json:"part_list"`
	Collections []Collection `json:"collections"`
}

// Object names a stored object of the backup's folder.
type Object struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"` // of the stored bytes, hex
}

// A manifest ends in a seal over all bytes before it:
// `,\n  "mac": "` + 64 hex digits + `"\n}\n` when the backup is encrypted, else
// the same with "sha256". The MAC proves who wrote it; the SHA-256 only that no
// byte has changed since, max_uid and collection names among them.
const (
	macHead   = ",\n  \"mac\": \""
	sumHead   = ",\n  \"sha256\": \""
	sealFoot  = "\"\n}\n"
	plainFoot = "\n}\n"
	sealHex   = 2 * ee.MACSize // of both
)

// Encode returns the file's bytes. The manifest must be valid.
func (m *Manifest) Encode(key ee.Key) ([]byte, error) {
	op := "encode manifest " + m.Path
	if m.Encrypted == key.IsZero() || m.KeyID != key.ID() {
		return nil, fault.New(fault.Other, op, "encryption mark and key do not agree")
	}
	if err := m.validate(); err != nil {
		return nil, fault.New(fault.Other, op, "%w", err)
	}
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fault.Wrap(err, "%s", op)
	}
	data = bytes.TrimSuffix(append(data, '\n'), []byte(plainFoot))
	if key.IsZero() {
		data = fmt.Appendf(data, "%s%s%s", sumHead, Digest(data), sealFoot)
	} else {
		data = fmt.Appendf(data, "%s%s%s", macHead, hex.EncodeToString(key.MAC(data)), sealFoot)
	}
	if len(data) > MaxBytes {
		return nil, fault.New(fault.Other, op, "it would have %d bytes; the limit is %d", len(data), MaxBytes)
	}
	return data, nil
}

// Decode reads a manifest that was found in folder. It checks everything that
// can be checked without the key; the bytes may come from anybody.
func Decode(data []byte, folder string) (*Manifest, error) {
	corrupt := func(format string, args ...any) (*Manifest, error) {
		return nil, fault.New(fault.Corrupt, "read manifest "+folder+"/"+FileName, format, args...)
	}
	if len(data) > MaxBytes {
		return corrupt("it has %d bytes; the limit is %d", len(data), MaxBytes)
	}
	var probe struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(data, &probe); err != nil {
		return corrupt("%w", err)
	}
	if probe.Version > FormatVersion && sealedAnyhow(data) {
		return nil, fault.New(fault.Usage, "read manifest "+folder+"/"+FileName,
			"it is of format version %d; this brock reads version %d", probe.Version, FormatVersion).
			WithHint("use a newer brock")
	}
	m := new(Manifest)
	if err := json.Unmarshal(data, m); err != nil {
		return corrupt("%w", err)
	}
	if err := m.validate(); err != nil {
		return corrupt("%w", err)
	}
	if m.Path != folder {
		return corrupt("it says that it belongs to folder %q", m.Path)
	}
	if err := m.checkSeal(data); err != nil {
		return corrupt("%w", err)
	}
	return m, nil
}

// checkSeal checks the seal as far as that can be done without the key.
func (m *Manifest) checkSeal(data []byte) error {
	if m.Encrypted {
		_, _, err := splitSeal(data, macHead)
		return err
	}
	body, sum, err := splitSeal(data, sumHead)
	if err == nil && hex.EncodeToString(sum) != Digest(body) {
		err = fmt.Errorf("it was altered: its SHA-256 is wrong")
	}
	return err
}

// sealedAnyhow tells a manifest of a newer format from a damaged one: the seal is
// the same in all versions.
func sealedAnyhow(data []byte) bool {
	plain, encrypted := &Manifest{}, &Manifest{Encrypted: true}
	return plain.checkSeal(data) == nil || encrypted.checkSeal(data) == nil
}

// splitSeal cuts a manifest into what is sealed and the seal.
func splitSeal(data []byte, head string) (body, seal []byte, err error) {
	at := len(data) - len(head) - sealHex - len(sealFoot)
	if at < 0 || !bytes.HasPrefix(data[at:], []byte(head)) || !bytes.HasSuffix(data, []byte(sealFoot)) {
		return nil, nil, fmt.Errorf("it does not end in the seal %s", strings.Trim(head, ",\n: \""))
	}
	digits := string(data[at+len(head) : len(data)-len(sealFoot)])
	seal, err = hex.DecodeString(digits)
	if err != nil || hex.EncodeToString(seal) != digits {
		return nil, nil, fmt.Errorf("its seal is not 64 lower-case hexadecimal digits")
	}
	return data[:at], seal, nil
}

// CheckKey returns the key of the ring that this backup was made with, by its
// key id, after checking the MAC over data, the manifest's bytes. For a backup
// that is not encrypted it is the zero Key.
// Kinds: KeyMissing, WrongKey, Mixed (keys for a plain backup, and the ring does
// not take those), Corrupt.
func (m *Manifest) CheckKey(data []byte, keys ee.KeyRing) (ee.Key, error) {
	op := "use backup " + m.Path
	switch {
	case !m.Encrypted && keys.TakesPlain():
		return ee.Key{}, nil
	case !m.Encrypted:
		return ee.Key{}, fault.New(fault.Mixed, op, "a key was given, but the backup is not encrypted").
			WithHint("if you trust whoever can write to the destination: --allow_plain; if this series should be encrypted, it was replaced")
	}
	key, err := keys.Need(m.KeyID, op)
	if err != nil {
		return ee.Key{}, err
	}
	body, mac, err := splitSeal(data, macHead)
	if err != nil {
		return ee.Key{}, fault.New(fault.Corrupt, op, "%w", err)
	}
	if !key.CheckMAC(body, mac) {
		return ee.Key{}, fault.New(fault.Corrupt, op, "the key is right and the manifest's MAC is not: it was altered").
			WithHint("do not trust this series; restore from another copy")
	}
	return key, nil
}

// Digest returns the SHA-256 of a manifest's bytes in hex: its name in the next
// manifest's Parent.
func Digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
