package archive

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"

	"github.com/brockdb/brock/ee"
)

// A part has one digest, made of what its bytes are checked with: SHA-256 over
// its IV, if it has one, and the SHA-256 of each chunk. So every stored byte is
// digested once, whoever writes or reads it.

// Digest returns what SHA256 must be, in hex. Malformed digests of chunks, which
// check refuses, count as nothing.
func (p *Part) Digest() string {
	sum := sha256.New()
	iv, _ := hex.DecodeString(p.IV)
	sum.Write(iv)
	for i := range p.Chunks {
		chunk, _ := hex.DecodeString(p.Chunks[i].SHA256)
		sum.Write(chunk)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// PartSum holds the stored bytes of a part, written to it from the first to the
// last, against the part list. One goroutine uses it.
type PartSum struct {
	part *Part
	iv   []byte // what is left to come of the IV
	next int    // the chunk that is coming
	left int64  // bytes of it that are not here yet
	sum  hash.Hash
	bad  bool
}

// NewPartSum returns the sum of a part whose list is sound.
func NewPartSum(p *Part) *PartSum {
	s := &PartSum{part: p, sum: sha256.New()}
	s.iv, _ = hex.DecodeString(p.IV)
	s.bad = p.IV != "" && len(s.iv) != ee.IVSize
	if len(p.Chunks) > 0 {
		s.left = p.Chunks[0].StoredBytes
	}
	return s
}

// Write takes the next bytes; it returns no error.
func (s *PartSum) Write(b []byte) (int, error) {
	taken := len(b)
	for len(b) > 0 && !s.bad {
		if n := min(len(s.iv), len(b)); n > 0 {
			s.bad = string(s.iv[:n]) != string(b[:n])
			s.iv, b = s.iv[n:], b[n:]
			continue
		}
		if s.next == len(s.part.Chunks) {
			s.bad = true // more than there should be
			break
		}
		n := min(s.left, int64(len(b)))
		s.sum.Write(b[:n])
		b = b[n:]
		if s.left -= n; s.left == 0 {
			s.endChunk()
		}
	}
	return taken, nil
}

func (s *PartSum) endChunk() {
	s.bad = hex.EncodeToString(s.sum.Sum(nil)) != s.part.Chunks[s.next].SHA256
	s.sum.Reset()
	if s.next++; s.next < len(s.part.Chunks) {
		s.left = s.part.Chunks[s.next].StoredBytes
	}
}

// Good reports whether all of the part was written, and nothing else.
func (s *PartSum) Good() bool { return !s.bad && len(s.iv) == 0 && s.next == len(s.part.Chunks) }
