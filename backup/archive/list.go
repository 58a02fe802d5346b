package archive

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/ee"
)

// List is a group's part list: a head and the parts in key order. It is stored
// as JSON lines (the head first, then a line per part), gzipped, and encrypted
// when the parts are, because it holds keys.
type List struct {
	Head  ListHead
	Parts []Part
}

// ListHead says what the list belongs to.
type ListHead struct {
	Version  int    `json:"version"`
	BackupID string `json:"backup_id"`
	Group    uint32 `json:"group"`
	Since    uint64 `json:"since"`
	ReadTs   uint64 `json:"read_ts"`
	Parts    int    `json:"parts"`
}

const (
	listVersion = 2
	// byteSums is the version in which a part's digest was that of its bytes;
	// the digests of its chunks are the same in both.
	byteSums = 1
	// maxListRaw bounds a part list's JSON: 16 TB of data in 2 MiB chunks.
	maxListRaw = 2 << 30
	// maxLine bounds a line of it. A writer begins a new part before a line has
	// half of that.
	maxLine = 16 << 20
	// MaxPartLine is when PartWriter.LineBytes says that a part is full.
	MaxPartLine = maxLine / 4
)

// EncodeList returns the bytes to store; with a key they are encrypted under a
// fresh IV.
func EncodeList(l *List, key ee.Key) ([]byte, error) {
	l.Head.Version, l.Head.Parts = listVersion, len(l.Parts)
	var out bytes.Buffer
	var sink io.Writer = &out
	if !key.IsZero() {
		iv := ee.NewIV()
		out.Write(iv[:])
		sink = key.Writer(&out, iv, 0)
	}
	zip := gzip.NewWriter(sink)
	enc := json.NewEncoder(zip)
	err := enc.Encode(&l.Head)
	for i := range l.Parts {
		if err == nil {
			err = enc.Encode(&l.Parts[i])
		}
	}
	if err = errors.Join(err, zip.Close()); err != nil {
		return nil, fault.Wrap(err, "encode part list of group %d", l.Head.Group)
	}
	return out.Bytes(), nil
}

// DecodeList reads a stored part list and checks that it is sound in itself:
// names, offsets, sizes, key order. want is what its head must say (Version and
// Parts aside). stored may come from anybody.
func DecodeList(stored []byte, key ee.Key, want ListHead) (*List, error) {
	var source io.Reader = bytes.NewReader(stored)
	encrypted := !key.IsZero()
	if encrypted {
		if len(stored) < ee.IVSize {
			return nil, fmt.Errorf("it is shorter than its IV")
		}
		source = key.Reader(bytes.NewReader(stored[ee.IVSize:]), [ee.IVSize]byte(stored), 0)
	}
	zip, err := gzip.NewReader(source)
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	lines := &lineReader{r: bufio.NewReaderSize(io.LimitReader(zip, maxListRaw), 64<<10)}
	l := new(List)
	if err := lines.next(&l.Head); err != nil {
		return nil, fmt.Errorf("its head: %w", err)
	}
	want.Version, want.Parts = listVersion, l.Head.Parts
	if l.Head.Version == byteSums {
		want.Version = byteSums
	}
	if l.Head != want {
		return nil, fmt.Errorf("it belongs to %+v, not to %+v", l.Head, want)
	}
	for {
		var p Part
		err := lines.next(&p)
		if errors.Is(err, errNoLine) {
			break
		}
		if err == nil {
			err = p.check(want, encrypted)
		}
		if err != nil {
			return nil, fmt.Errorf("part %d: %w", len(l.Parts)+1, err)
		}
		l.Parts = append(l.Parts, p)
	}
	return l, l.check()
}

// lineReader reads JSON lines of bounded length.
type lineReader struct {
	r    *bufio.Reader
	line []byte
}

var errNoLine = errors.New("it ends early")

// next decodes the next line into v, or returns errNoLine after the last one.
func (l *lineReader) next(v any) error {
	l.line = l.line[:0]
	for {
		piece, err := l.r.ReadSlice('\n')
		l.line = append(l.line, piece...)
		switch {
		case len(l.line) > 0 && l.line[0] != '{':
			return fmt.Errorf("a line does not begin with {")
		case len(l.line) > maxLine:
			return fmt.Errorf("a line is longer than %d bytes", maxLine)
		case err == nil:
			return json.Unmarshal(l.line, v)
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(l.line) == 0:
			return errNoLine
		case errors.Is(err, io.EOF):
			return fmt.Errorf("its last line has no end")
		default:
			return fmt.Errorf("decompress: %w", err)
		}
	}
}

// check holds the parts against each other.
func (l *List) check() error {
	if len(l.Parts) != l.Head.Parts {
		return fmt.Errorf("it has %d parts, its head says %d", len(l.Parts), l.Head.Parts)
	}
	names := make(map[string]struct{}, len(l.Parts))
	for i := range l.Parts {
		p := &l.Parts[i]
		if _, twice := names[p.Name]; twice {
			return fmt.Errorf("part %s stands twice", p.Name)
		}
		names[p.Name] = struct{}{}
		if i > 0 && bytes.Compare(l.Parts[i-1].LastKey, p.FirstKey) >= 0 {
			return fmt.Errorf("the keys of %s and %s overlap", l.Parts[i-1].Name, p.Name)
		}
	}
	return nil
}

var partPattern = regexp.MustCompile(`^r([0-9]+)-g([0-9]+)(\.[0-9]{4,9})?\.backup$`)

func validSHA256(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == sha256.Size
}

// check holds one part against its chunks and its list's head.
func (p *Part) check(head ListHead, encrypted bool) error {
	m := partPattern.FindStringSubmatch(p.Name)
	if m == nil || m[1] != fmt.Sprint(head.ReadTs) || m[2] != fmt.Sprint(head.Group) {
		return fmt.Errorf("its name %.80q is not one of this backup's", p.Name)
	}
	if _, err := p.iv(); encrypted && err != nil || !encrypted && p.IV != "" {
		return fmt.Errorf("%s: its IV %.80q does not fit", p.Name, p.IV)
	}
	if !validSHA256(p.SHA256) || head.Version == listVersion && p.SHA256 != p.Digest() {
		return fmt.Errorf("%s: its SHA-256 %.80q is not that of its IV and chunks", p.Name, p.SHA256)
	}
	if len(p.Chunks) == 0 || !bytes.Equal(p.Chunks[0].FirstKey, p.FirstKey) || bytes.Compare(p.FirstKey, p.LastKey) > 0 {
		return fmt.Errorf("%s: its first and last key do not fit its chunks", p.Name)
	}
	var raw, records int64
	offset := int64(0)
	if encrypted {
		offset = ee.IVSize
	}
	for i := range p.Chunks {
		c := &p.Chunks[i]
		switch {
		case c.Offset != offset || c.StoredBytes < memberHeaderLen+memberTrailerLen || c.StoredBytes > maxChunkRaw+maxChunkRaw/1000:
			return fmt.Errorf("%s: chunk %d has offset %d and %d bytes", p.Name, i, c.Offset, c.StoredBytes)
		case c.RawBytes < frameLen || c.RawBytes > maxChunkRaw || c.Records <= 0 || c.Records > c.RawBytes:
			return fmt.Errorf("%s: chunk %d has %d raw bytes and %d records", p.Name, i, c.RawBytes, c.Records)
		case !validSHA256(c.SHA256):
			return fmt.Errorf("%s: chunk %d: its SHA-256 %.80q is malformed", p.Name, i, c.SHA256)
		case len(c.FirstKey) == 0 || bytes.Compare(c.FirstKey, p.LastKey) > 0 || i > 0 && bytes.Compare(p.Chunks[i-1].FirstKey, c.FirstKey) >= 0:
			return fmt.Errorf("%s: chunk %d: its first key is out of order", p.Name, i)
		}
		offset += c.StoredBytes
		raw += c.RawBytes
		records += c.Records
	}
	if p.LargestValue < 0 || p.LargestValue > p.RawBytes {
		return fmt.Errorf("%s: its largest value has %d bytes", p.Name, p.LargestValue)
	}
	if p.StoredBytes != offset || p.RawBytes != raw || p.Records != records {
		return fmt.Errorf("%s: its totals are not its chunks' sum", p.Name)
	}
	return p.checkCollections()
}

func (p *Part) checkCollections() error {
	var sum int64
	for id, n := range p.Collections {
		if n <= 0 || n > p.Records {
			return fmt.Errorf("%s: collection %d has %d records", p.Name, id, n)
		}
		sum += n
	}
	if sum > p.Records {
		return fmt.Errorf("%s: its collections have more records than it", p.Name)
	}
	return nil
}
