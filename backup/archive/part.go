package archive

import (
	"bytes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"io"
	"slices"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/ee"
)

// frameLen is the length in front of each pb.KVList, 8 bytes little-endian, as
// in Badger's own backups.
const frameLen = 8

// Part describes one data file. Parts of a group have disjoint key ranges.
type Part struct {
	Name         string           `json:"name"`
	StoredBytes  int64            `json:"stored_bytes"`
	RawBytes     int64            `json:"raw_bytes"`
	Records      int64            `json:"records"`
	FirstKey     []byte           `json:"first_key"`
	LastKey      []byte           `json:"last_key"`
	LargestValue int64            `json:"largest_value"` // bytes
	SHA256       string           `json:"sha256"`        // of the IV and the SHA-256 of each chunk, hex
	IV           string           `json:"iv,omitempty"`  // hex; the first 16 stored bytes when encrypted
	Collections  map[uint64]int64 `json:"collections"`   // records per collection id
	Chunks       []Chunk          `json:"chunks"`
}

// Chunk is one gzip member of a part.
type Chunk struct {
	Offset      int64  `json:"offset"` // in the stored part
	StoredBytes int64  `json:"stored_bytes"`
	RawBytes    int64  `json:"raw_bytes"`
	Records     int64  `json:"records"`
	FirstKey    []byte `json:"first_key"`
	SHA256      string `json:"sha256"` // of the stored bytes, hex
}

// PartWriter writes one part. Records come in key order, versions of one key
// newest first. It is used by one goroutine.
type PartWriter struct {
	w       io.Writer
	enc     *Encoder
	stream  cipher.Stream // nil when not encrypted
	part    Part
	buf     []byte // frame length, then pb.KVList
	chunk   Chunk
	limit   int
	line    int // bytes that the chunks take in the part list
	flushed func(records, rawBytes, storedBytes int64)
}

// PartOptions are what all parts of a backup have in common.
type PartOptions struct {
	Key        ee.Key // zero for none
	ChunkBytes int    // raw bytes per chunk; a larger record makes a larger chunk
	// Flushed, when set, is told about each stored chunk.
	Flushed func(records, rawBytes, storedBytes int64)
}

// NewPartWriter begins a part. buf is scratch space that Finish gives back.
func NewPartWriter(w io.Writer, name string, enc *Encoder, o PartOptions, buf []byte) (*PartWriter, error) {
	p := &PartWriter{w: w, enc: enc, limit: o.ChunkBytes, flushed: o.Flushed,
		part: Part{Name: name, Collections: map[uint64]int64{}}}
	p.buf = append(buf[:0], make([]byte, frameLen)...)
	if !o.Key.IsZero() {
		iv := ee.NewIV()
		p.stream = o.Key.Stream(iv, 0)
		p.part.IV = hex.EncodeToString(iv[:])
		if err := p.store(iv[:]); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// Add appends a record. newKey is false for further versions of the key before,
// which stay in one chunk with it. collection counts the record; 0 is none.
func (p *PartWriter) Add(r *Record, newKey bool, collection uint64) error {
	if newKey && len(p.buf) >= p.limit {
		if err := p.flush(); err != nil {
			return err
		}
	}
	if p.chunk.Records == 0 {
		p.chunk.FirstKey = bytes.Clone(r.Key)
		if p.part.Records == 0 {
			p.part.FirstKey = p.chunk.FirstKey
		}
	}
	p.chunk.Records++
	p.part.Records++
	p.part.LargestValue = max(p.part.LargestValue, int64(len(r.Value)))
	if collection != 0 {
		p.part.Collections[collection]++
	}
	if newKey {
		p.part.LastKey = append(p.part.LastKey[:0], r.Key...)
	}
	p.buf = AppendRecord(p.buf, r)
	return nil
}

// LineBytes returns about how long the part's line in the part list is so far.
// At MaxPartLine the caller should begin another part.
func (p *PartWriter) LineBytes() int { return p.line + 44*len(p.part.Collections) }

// StoredBytes returns how much of the part is stored so far.
func (p *PartWriter) StoredBytes() int64 { return p.part.StoredBytes }

// flush stores the records collected so far as one member.
func (p *PartWriter) flush() error {
	if p.chunk.Records == 0 {
		return nil
	}
	binary.LittleEndian.PutUint64(p.buf, uint64(len(p.buf)-frameLen))
	member, err := p.enc.encode(p.buf)
	if err != nil {
		return err
	}
	if p.stream != nil {
		p.stream.XORKeyStream(member, member)
	}
	digest := sha256.Sum256(member)
	p.chunk.Offset, p.chunk.StoredBytes = p.part.StoredBytes, int64(len(member))
	p.chunk.RawBytes, p.chunk.SHA256 = int64(len(p.buf)), hex.EncodeToString(digest[:])
	if err := p.store(member); err != nil {
		return err
	}
	p.part.RawBytes += p.chunk.RawBytes
	p.part.Chunks = append(p.part.Chunks, p.chunk)
	p.line += 200 + base64.StdEncoding.EncodedLen(len(p.chunk.FirstKey))
	if p.flushed != nil {
		p.flushed(p.chunk.Records, p.chunk.RawBytes, p.chunk.StoredBytes)
	}
	p.chunk = Chunk{}
	p.buf = p.buf[:frameLen]
	return nil
}

func (p *PartWriter) store(b []byte) error {
	p.part.StoredBytes += int64(len(b))
	_, err := p.w.Write(b)
	return fault.Wrap(err, "write part %s", p.part.Name)
}

// Finish stores what is left and returns the part's description and the
// scratch space. A part without records is an error of the caller.
func (p *PartWriter) Finish() (Part, []byte, error) {
	if err := p.flush(); err != nil {
		return Part{}, p.buf, err
	}
	if p.part.Records == 0 {
		return Part{}, p.buf, fault.New(fault.Other, "finish part "+p.part.Name, "it has no records")
	}
	p.part.SHA256 = p.part.Digest()
	p.part.LastKey = slices.Clip(p.part.LastKey)
	return p.part, p.buf, nil
}
