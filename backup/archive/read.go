package archive

import (
	"context"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/ee"
)

// Opener opens a byte range of a stored object; destination.Destination has it.
type Opener interface {
	Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error)
}

// ChunkReader reads consecutive chunks of one part, checking each against its
// digest in the part list before anything in it is used. One goroutine uses it.
type ChunkReader struct {
	ctx    context.Context
	src    Opener
	part   *Part
	object string // the part's full name at the destination
	key    ee.Key
	body   io.ReadCloser // nil until it is needed
	stream cipher.Stream // nil when not encrypted
	next   int
	end    int
	dec    *Decoder // and its buffers, which the next reader uses again
}

// OpenChunks returns a reader of the chunks from to end (exclusive) of a part in
// folder. dec may be shared by readers that one goroutine uses in turn; what it
// decoded last is not read again.
func OpenChunks(ctx context.Context, src Opener, folder string, part *Part, from, end int, key ee.Key, dec *Decoder) *ChunkReader {
	return &ChunkReader{ctx: ctx, src: src, part: part, object: folder + "/" + part.Name, key: key, next: from, end: end, dec: dec}
}

// open opens the chunks that are left.
func (r *ChunkReader) open() (err error) {
	offset := r.part.Chunks[r.next].Offset
	if r.part.IV != "" {
		iv, err := r.part.iv()
		if err != nil {
			return r.corrupt("%w", err)
		}
		r.stream = r.key.Stream(iv, offset-ee.IVSize)
	}
	last := r.part.Chunks[r.end-1]
	r.body, err = r.src.Open(r.ctx, r.object, offset, last.Offset+last.StoredBytes-offset)
	return fault.Wrap(err, "read part %s", r.object)
}

// Close gives the reader up.
func (r *ChunkReader) Close() error {
	if r.body == nil {
		return nil
	}
	return r.body.Close()
}

// Next returns the next chunk's records, or io.EOF after the last one. They are
// valid until the following call.
func (r *ChunkReader) Next() (Records, *Chunk, error) {
	if r.next == r.end {
		return Records{}, nil, io.EOF
	}
	c := &r.part.Chunks[r.next]
	if r.body == nil && r.dec.last == c {
		r.next++
		return Records{rest: r.dec.raw[frameLen:]}, c, nil
	}
	if r.body == nil {
		if err := r.open(); err != nil {
			return Records{}, nil, err
		}
	}
	r.dec.last = nil
	if int64(cap(r.dec.member)) < c.StoredBytes {
		r.dec.member = make([]byte, c.StoredBytes+c.StoredBytes/8)
	}
	r.dec.member = r.dec.member[:c.StoredBytes]
	if _, err := io.ReadFull(r.body, r.dec.member); err != nil {
		return Records{}, nil, r.chunkError(c, err)
	}
	if digest := sha256.Sum256(r.dec.member); hex.EncodeToString(digest[:]) != c.SHA256 {
		return Records{}, nil, r.corrupt("chunk %d (offset %d, %d bytes) was altered: its SHA-256 is wrong", r.next, c.Offset, c.StoredBytes)
	}
	if r.stream != nil {
		r.stream.XORKeyStream(r.dec.member, r.dec.member)
	}
	raw, err := r.dec.decode(r.dec.raw, r.dec.member, c.RawBytes)
	if err != nil {
		return Records{}, nil, r.corrupt("chunk %d (offset %d): %w", r.next, c.Offset, err)
	}
	r.dec.raw = raw
	if len(raw) < frameLen || binary.LittleEndian.Uint64(raw) != uint64(len(raw)-frameLen) {
		return Records{}, nil, r.corrupt("chunk %d (offset %d): its frame length is wrong", r.next, c.Offset)
	}
	r.next++
	r.dec.last = c
	return Records{rest: raw[frameLen:]}, c, nil
}

func (r *ChunkReader) chunkError(c *Chunk, err error) error {
	return fault.Wrap(err, "read part %s at offset %d", r.object, c.Offset)
}

func (r *ChunkReader) corrupt(format string, args ...any) error {
	return fault.New(fault.Corrupt, "read part "+r.object, format, args...)
}

// Records walks through the records of a chunk.
type Records struct{ rest []byte }

// Next reads the next record into r, whose slices alias the chunk; it returns
// io.EOF after the last one.
func (rs *Records) Next(r *Record) error {
	if len(rs.rest) == 0 {
		return io.EOF
	}
	rest, err := parseRecord(rs.rest, r)
	rs.rest = rest
	return err
}

// iv returns the initial counter block of an encrypted part.
func (p *Part) iv() (iv [ee.IVSize]byte, err error) {
	b, err := hex.DecodeString(p.IV)
	if err != nil || len(b) != ee.IVSize {
		return iv, fmt.Errorf("its IV %.80q is malformed", p.IV)
	}
	return [ee.IVSize]byte(b), nil
}
