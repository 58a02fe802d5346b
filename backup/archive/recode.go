package archive

import (
	"crypto/cipher"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"

	"github.com/brockdb/brock/ee"
)

// Recode reads the stored bytes of part p from in and writes them to out under
// another key: the zero key for none, else under iv, which must be new. Nothing
// is decompressed, and no more than a buffer is held, whatever the size of the
// chunks. It returns the part as it stands in the new part list.
//
// What was read is held against the digests of p; an error that wraps ErrAltered
// says that it is not what p describes. Until Recode has returned without an
// error, nothing that was written may be used.
func Recode(in io.Reader, p *Part, key ee.Key, out io.Writer, newKey ee.Key, iv [ee.IVSize]byte) (Part, error) {
	r := &recoder{in: in, out: out, buf: make([]byte, recodeBuffer), part: *p}
	r.part.Chunks = slices.Clone(p.Chunks)
	r.part.IV, r.part.StoredBytes = "", 0
	if err := r.begin(p, key, newKey, iv); err != nil {
		return Part{}, err
	}
	for i := range r.part.Chunks {
		if err := r.chunk(&r.part.Chunks[i], i); err != nil {
			return Part{}, err
		}
	}
	r.part.SHA256 = r.part.Digest()
	return r.part, nil
}

// ErrAltered is wrapped by Recode's errors about what it has read.
var ErrAltered = fmt.Errorf("the part was altered")

const recodeBuffer = 128 << 10

type recoder struct {
	in             io.Reader
	out            io.Writer
	decode, encode cipher.Stream // nil for plain
	buf            []byte
	part           Part // in the new part list
}

// begin reads the old IV and writes the new one.
func (r *recoder) begin(p *Part, key, newKey ee.Key, iv [ee.IVSize]byte) error {
	if p.IV != "" {
		want, err := p.iv()
		if err != nil {
			return fmt.Errorf("%w: %w", ErrAltered, err)
		}
		var got [ee.IVSize]byte
		if _, err := io.ReadFull(r.in, got[:]); err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("%w: its IV is not the part list's", ErrAltered)
		}
		r.decode = key.Stream(want, 0)
	}
	if newKey.IsZero() {
		return nil
	}
	r.part.IV = hex.EncodeToString(iv[:])
	r.encode = newKey.Stream(iv, 0)
	return r.write(iv[:])
}

func (r *recoder) write(b []byte) error {
	r.part.StoredBytes += int64(len(b))
	_, err := r.out.Write(b)
	return err
}

// chunk recodes one chunk and sets its new place and digest.
func (r *recoder) chunk(c *Chunk, number int) error {
	c.Offset = r.part.StoredBytes
	sumIn, sumOut := sha256.New(), sha256.New()
	for left := c.StoredBytes; left > 0; {
		b := r.buf[:min(left, int64(len(r.buf)))]
		if _, err := io.ReadFull(r.in, b); err != nil {
			return err
		}
		left -= int64(len(b))
		sumIn.Write(b)
		if r.decode != nil {
			r.decode.XORKeyStream(b, b)
		}
		if r.encode != nil {
			r.encode.XORKeyStream(b, b)
		}
		sumOut.Write(b)
		if err := r.write(b); err != nil {
			return err
		}
	}
	if hex.EncodeToString(sumIn.Sum(nil)) != c.SHA256 {
		return fmt.Errorf("%w: the SHA-256 of chunk %d is wrong", ErrAltered, number)
	}
	c.SHA256 = hex.EncodeToString(sumOut.Sum(nil))
	return nil
}
