package archive

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/flate"

	"github.com/brockdb/brock/backup/archive/deflate"
	"github.com/brockdb/brock/backup/archive/inflate"
	"github.com/brockdb/brock/backup/fault"
)

// A member is a gzip member (RFC 1952) of one chunk. Its extra field has one
// subfield, "BK": the member's whole size and the chunk's raw size, 4 bytes
// little-endian each, so that a reader can hop from member to member.
const (
	memberHeaderLen  = 24
	memberTrailerLen = 8
	// maxChunkRaw bounds a chunk: gzip's sizes have 32 bits, and int is 32 bits
	// on small machines.
	maxChunkRaw = 1<<31 - 1<<16
	// maxExpansion is more than deflate can expand (1032 times).
	maxExpansion = 1040
)

var memberStart = [16]byte{0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, 12, 0, 'B', 'K', 8, 0}

// Encoder makes members. It is used by one goroutine and keeps its buffers.
type Encoder struct {
	level Level
	fast  *deflate.Encoder // for all but BestCompression
	small *smallEncoder    // for BestCompression
	out   []byte
	probe []byte
	poor  bool // compressing the last chunk did not pay
}

// smallEncoder is klauspost's deflate, for output that is small at any price.
type smallEncoder struct {
	w   *flate.Writer
	out []byte
}

// Write appends to out.
func (s *smallEncoder) Write(p []byte) (int, error) {
	s.out = append(s.out, p...)
	return len(p), nil
}

// append appends raw, compressed, to dst.
func (s *smallEncoder) append(dst, raw []byte) ([]byte, error) {
	s.out = dst
	s.w.Reset(s)
	_, err := s.w.Write(raw)
	if err == nil {
		err = s.w.Close()
	}
	dst, s.out = s.out, nil
	return dst, err
}

// NewEncoder returns an Encoder for one goroutine.
func NewEncoder(level Level) (*Encoder, error) {
	e := &Encoder{level: level}
	switch level {
	case NoCompression:
	case BestCompression:
		e.small = new(smallEncoder)
		var err error
		if e.small.w, err = flate.NewWriter(e.small, 7); err != nil {
			return nil, err
		}
	default:
		e.fast = &deflate.Encoder{Fast: level == BestSpeed}
	}
	return e, nil
}

// encode returns raw as a member. The result is valid until the next call.
func (e *Encoder) encode(raw []byte) ([]byte, error) {
	if len(raw) > maxChunkRaw {
		return nil, fault.New(fault.Usage, "write chunk", "a record of %d bytes is too large; the limit is %d", len(raw), maxChunkRaw)
	}
	e.out = append(e.out[:0], make([]byte, memberHeaderLen)...)
	if err := e.body(raw); err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	b := binary.LittleEndian.AppendUint32(e.out, crc32.ChecksumIEEE(raw))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(raw)))
	copy(b, memberStart[:])
	binary.LittleEndian.PutUint32(b[16:], uint32(len(b)))
	binary.LittleEndian.PutUint32(b[20:], uint32(len(raw)))
	e.out = b
	return b, nil
}

// body appends raw as a deflate stream: compressed, or stored where
// compressing does not pay.
func (e *Encoder) body(raw []byte) (err error) {
	if e.level == NoCompression || e.poor && !e.promising(raw) {
		e.out = appendStored(e.out, raw)
		return nil
	}
	if e.out, err = e.compress(e.out, raw); err != nil {
		return err
	}
	e.poor = !e.pays(len(e.out)-memberHeaderLen, len(raw))
	if e.poor {
		e.out = appendStored(e.out[:memberHeaderLen], raw)
	}
	return nil
}

// pays reports whether compressing that many raw bytes into so few was worth
// it: with BestCompression for a twentieth less, else for an eighth. Numbers
// and the like get smaller by a tenth, at four times the time of a backup and of
// a restore that store them.
func (e *Encoder) pays(compressed, raw int) bool {
	least := raw / 8
	if e.level == BestCompression {
		least = raw / 20
	}
	return compressed <= raw-least
}

// compress appends raw as a deflate stream to dst.
func (e *Encoder) compress(dst, raw []byte) ([]byte, error) {
	if e.small != nil {
		return e.small.append(dst, raw)
	}
	return e.fast.Append(dst, raw), nil
}

// promising compresses a sample from the middle of raw, so that data which
// does not compress costs little more than a copy.
func (e *Encoder) promising(raw []byte) bool {
	const sampleBytes = 64 << 10
	if len(raw) <= sampleBytes {
		return true
	}
	at := (len(raw) - sampleBytes) / 2
	var err error
	e.probe, err = e.compress(e.probe[:0], raw[at:at+sampleBytes])
	return err != nil || e.pays(len(e.probe), sampleBytes)
}

// appendStored appends raw as stored deflate blocks (RFC 1951, 3.2.4).
func appendStored(dst, raw []byte) []byte {
	const maxBlock = 1<<16 - 1
	for {
		n := min(len(raw), maxBlock)
		final := byte(0)
		if n == len(raw) {
			final = 1
		}
		dst = append(dst, final, byte(n), byte(n>>8), ^byte(n), ^byte(n>>8))
		dst = append(dst, raw[:n]...)
		raw = raw[n:]
		if final == 1 {
			return dst
		}
	}
}

// Decoder reads members. It is used by one goroutine and keeps its buffers.
type Decoder struct {
	inflate inflate.Decoder
	member  []byte // of the reader that uses it at present
	raw     []byte
	last    *Chunk // whose content is in raw; nil for none
}

var errMember = errors.New("it is no gzip member of this format")

// decode appends the chunk in member to dst[:0]. rawBytes is its expected size.
func (d *Decoder) decode(dst, member []byte, rawBytes int64) ([]byte, error) {
	stored, raw, err := memberSizes(member)
	switch {
	case err != nil:
		return nil, err
	case int64(stored) != int64(len(member)) || int64(raw) != rawBytes:
		return nil, fmt.Errorf("its header says %d bytes for %d, the part list %d for %d", stored, raw, len(member), rawBytes)
	case rawBytes > maxChunkRaw || rawBytes > maxExpansion*int64(len(member)):
		return nil, fmt.Errorf("%d raw bytes cannot be in %d", rawBytes, len(member))
	}
	trailer := member[len(member)-memberTrailerLen:]
	if int64(binary.LittleEndian.Uint32(trailer[4:])) != rawBytes {
		return nil, fmt.Errorf("its header and its trailer differ in size")
	}
	if int64(cap(dst)) < rawBytes+inflate.Slack {
		dst = make([]byte, rawBytes+rawBytes/8+inflate.Slack)
	}
	dst = dst[:rawBytes+inflate.Slack]
	body := member[memberHeaderLen : len(member)-memberTrailerLen]
	if err := d.inflate.Inflate(dst, body, int(rawBytes)); err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	dst = dst[:rawBytes]
	if crc32.ChecksumIEEE(dst) != binary.LittleEndian.Uint32(trailer) {
		return nil, fmt.Errorf("its CRC-32 is wrong")
	}
	return dst, nil
}

// memberSizes reads a member's own size and its chunk's from its header.
func memberSizes(b []byte) (stored, raw uint32, err error) {
	if len(b) < memberHeaderLen+memberTrailerLen || [16]byte(b[:16]) != memberStart {
		return 0, 0, errMember
	}
	return binary.LittleEndian.Uint32(b[16:]), binary.LittleEndian.Uint32(b[20:]), nil
}
