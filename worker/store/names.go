package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/brockdb/brock/backup/fault"
)

// Limits of what a store takes, in bytes unless the name says otherwise.
const (
	// MaxNameBytes bounds the name of a namespace or collection.
	MaxNameBytes = 256
	// MaxKeyBytes bounds the key of a record. Badger's own limit is 65,000.
	MaxKeyBytes = 64_000
	// MaxValueBytes bounds the value of a record, compacted. Badger would take
	// up to a value log file; this keeps memory in hand everywhere a record
	// goes as a whole.
	MaxValueBytes = 16 << 20
	// MaxSchemaBytes bounds the schema of a collection, compacted.
	MaxSchemaBytes = 256 << 10
	// MaxBatchBytes bounds all keys and values of one batch together.
	MaxBatchBytes = 64 << 20
	// MaxBatchChanges bounds the changes of one batch: puts, removes, collections
	// made, twice the collections dropped.
	MaxBatchChanges = 104_852
	// MaxSmallBytes bounds what a batch puts into the write-ahead log: keys,
	// values below 1 MiB, and about 20 bytes per record. It is 15 % of a
	// memtable, because Badger writes a transaction into one of them whole.
	MaxSmallBytes = memTableBytes * 15 / 100
)

// DefaultNamespace is what an empty namespace means.
const DefaultNamespace = "default"

// Ref names a collection. An empty Namespace means DefaultNamespace.
type Ref struct {
	Namespace  string
	Collection string
}

// String returns "namespace/collection".
func (r Ref) String() string { return r.Namespace + "/" + r.Collection }

// Normal returns r with the default namespace filled in, or an error of kind
// Usage that says what is wrong with a name.
func (r Ref) Normal() (Ref, error) { return r.normal() }

// normal returns r with the default namespace filled in, or an error of kind
// Usage that says what is wrong with a name.
func (r Ref) normal() (Ref, error) {
	if r.Namespace == "" {
		r.Namespace = DefaultNamespace
	}
	if flaw := nameFlaw(r.Namespace); flaw != "" {
		return r, fault.New(fault.Usage, "use namespace "+quote(r.Namespace), "%s", flaw)
	}
	if flaw := nameFlaw(r.Collection); flaw != "" {
		return r, fault.New(fault.Usage, "use collection "+quote(r.Collection), "%s", flaw)
	}
	return r, nil
}

// nameFlaw says what keeps name from naming a namespace or a collection, or
// returns "". '/' separates the two in paths, '*' and ',' are for selections.
func nameFlaw(name string) string {
	switch {
	case name == "":
		return "the name is empty"
	case len(name) > MaxNameBytes:
		return fmt.Sprintf("the name has %d bytes; the limit is %d", len(name), MaxNameBytes)
	case !utf8.ValidString(name):
		return "the name is not valid UTF-8"
	case strings.ContainsFunc(name, unicode.IsControl):
		return "the name has a control character"
	case strings.ContainsAny(name, "/*,"):
		return "the name has one of the characters / * , which separate and select names"
	}
	return ""
}

// keyFlaw says what keeps key from being a record's key, or returns "".
// Control characters are allowed, NUL as well: the key stands last in the
// stored key, so no byte of it can be mistaken for something else.
func keyFlaw(key string) string {
	switch {
	case key == "":
		return "the key is empty"
	case len(key) > MaxKeyBytes:
		return fmt.Sprintf("the key has %d bytes; the limit is %d", len(key), MaxKeyBytes)
	case !utf8.ValidString(key):
		return "the key is not valid UTF-8"
	}
	return ""
}

// spaceFlaw says what keeps a name from naming a space of local records.
func spaceFlaw(space string) string {
	if space == "" || len(space) > 32 {
		return "a space has 1 to 32 letters"
	}
	for _, c := range []byte(space) {
		if (c < 'a' || c > 'z') && c != '_' {
			return "a space is made of a-z and _"
		}
	}
	return ""
}

// appendCompact appends the JSON document doc to buf without its blanks. The
// returned error is the cause only: the caller says whose document it is.
func appendCompact(buf *bytes.Buffer, doc []byte, maxBytes int) error {
	if len(bytes.TrimSpace(doc)) == 0 {
		return errors.New("the value is empty; it must be a JSON document")
	}
	if !utf8.Valid(doc) {
		return errors.New("the value is not valid UTF-8")
	}
	start := buf.Len()
	if err := json.Compact(buf, doc); err != nil {
		buf.Truncate(start)
		// Compact does not say where; Unmarshal does.
		var syntax *json.SyntaxError
		if errors.As(json.Unmarshal(doc, new(json.RawMessage)), &syntax) {
			return fmt.Errorf("the value is not valid JSON: %w at byte %d", syntax, syntax.Offset)
		}
		return fmt.Errorf("the value is not valid JSON: %w", err)
	}
	if size := buf.Len() - start; size > maxBytes {
		buf.Truncate(start)
		return fmt.Errorf("the value has %d bytes; the limit is %d", size, maxBytes)
	}
	return nil
}

// quote returns s in quotes, cut when long: a key may have 64,000 bytes.
func quote(s string) string {
	const most = 64
	if len(s) <= most {
		return fmt.Sprintf("%q", s)
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return fmt.Sprintf("%q… (%d bytes)", s[:cut], len(s))
}
