package restore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/archive"
	"github.com/brockdb/brock/backup/fault"
)

// cursor walks through the records that one backup of the chain holds of a
// slice, in key order, and holds every one of them against the part list.
type cursor struct {
	rec archive.Record // the present record; its slices are valid until next

	ctx      context.Context
	src      archive.Opener
	dec      *archive.Decoder
	member   *member
	order    int // position in the chain: higher is newer
	slice    slice
	runs     []run
	batch    int // chunks that one open reader may span
	progress *backup.Progress

	reader  *archive.ChunkReader
	records archive.Records
	chunk   *archive.Chunk
	seen    int64  // records of the present chunk
	accepts int64  // records of the slice
	prev    []byte // the key before
	prevTs  uint64
}

// next moves to the next record of the slice; io.EOF says that there is none.
func (c *cursor) next() error {
	for {
		if c.chunk == nil {
			if err := c.nextChunk(); err != nil {
				return err
			}
		}
		err := c.records.Next(&c.rec)
		if errors.Is(err, io.EOF) {
			if c.seen != c.chunk.Records {
				return c.corrupt("a chunk has %d records, its part list says %d", c.seen, c.chunk.Records)
			}
			c.chunk = nil
			continue
		}
		if err != nil {
			return c.corrupt("%w", err)
		}
		if err := c.check(); err != nil {
			return err
		}
		if bytes.Compare(c.rec.Key, c.slice.left) < 0 {
			continue
		}
		if c.slice.beyond(c.rec.Key) {
			return io.EOF
		}
		c.accepts++
		return nil
	}
}

// check holds the present record against the one before and the backup.
func (c *cursor) check() error {
	m := c.member.manifest
	if c.rec.Version <= m.Since || c.rec.Version > m.ReadTs {
		return c.corrupt("key %.64x has version %d, which is not in (%d, %d]", c.rec.Key, c.rec.Version, m.Since, m.ReadTs)
	}
	if c.seen == 0 && !bytes.Equal(c.rec.Key, c.chunk.FirstKey) {
		return c.corrupt("a chunk begins at key %.64x, its part list says %.64x", c.rec.Key, c.chunk.FirstKey)
	}
	c.seen++
	order := bytes.Compare(c.rec.Key, c.prev)
	if order < 0 || order == 0 && c.rec.Version >= c.prevTs {
		return c.corrupt("key %.64x version %d comes after key %.64x version %d", c.rec.Key, c.rec.Version, c.prev, c.prevTs)
	}
	if order > 0 {
		c.prev = append(c.prev[:0], c.rec.Key...)
	}
	c.prevTs = c.rec.Version
	return nil
}

// nextChunk reads the next chunk, opening and closing readers as needed.
func (c *cursor) nextChunk() error {
	for {
		if c.reader == nil {
			if len(c.runs) == 0 {
				return io.EOF
			}
			c.open()
		}
		records, chunk, err := c.reader.Next()
		if errors.Is(err, io.EOF) {
			err = c.reader.Close()
			c.reader = nil
			if err != nil {
				return fault.Wrap(err, "read backup %s", c.member.manifest.Path)
			}
			continue
		}
		if err != nil {
			return err
		}
		c.records, c.chunk, c.seen = records, chunk, 0
		c.progress.Add(chunk.Records, chunk.RawBytes, chunk.StoredBytes)
		if c.batch == 1 { // many backups: their objects are not all open at once
			return fault.Wrap(c.close(), "read backup %s", c.member.manifest.Path)
		}
		return nil
	}
}

// open turns to the next chunks of the first run. A chunk that the slice before
// ended in is still decoded: those of an incremental span many slices.
func (c *cursor) open() {
	r := &c.runs[0]
	end := r.from + min(r.end-r.from, c.batch)
	c.reader = archive.OpenChunks(c.ctx, c.src, c.member.manifest.Path, r.part, r.from, end, c.member.key, c.dec)
	if r.from = end; r.from == r.end {
		c.runs = c.runs[1:]
	}
}

func (c *cursor) close() error {
	if c.reader == nil {
		return nil
	}
	err := c.reader.Close()
	c.reader = nil
	return err
}

func (c *cursor) corrupt(format string, args ...any) error {
	return fault.New(fault.Corrupt, fmt.Sprintf("read backup %s, group %d", c.member.manifest.Path, c.member.list.Head.Group), format, args...)
}
