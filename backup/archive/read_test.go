package archive

import (
	"context"
	"fmt"
	"io"
	"reflect"
	"testing"

	"github.com/brockdb/brock/ee"
)

// counted counts the bytes that are asked for.
type counted struct {
	memory
	bytes int64
}

func (c *counted) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	c.bytes += length
	return c.memory.Open(ctx, name, offset, length)
}

// TestChunkIsNotReadTwice reads ranges of chunks with one decoder. The chunk that
// was decoded last is there; after damage nothing is.
func TestChunkIsNotReadTwice(t *testing.T) {
	for _, key := range []ee.Key{{}, someKey(t)} {
		part, data := writePart(t, makeRecords(100, 40, true), DefaultCompression, key, 1<<10)
		if len(part.Chunks) < 4 {
			t.Fatalf("%d chunks", len(part.Chunks))
		}
		src := &counted{memory: memory{"f/" + part.Name: data}}
		var dec Decoder
		read := func(from, end int, wantBytes int64) {
			t.Helper()
			before := src.bytes
			got, err := readPartWith(&dec, src, &part, from, end, key)
			if err != nil {
				t.Fatal(err)
			}
			fresh, err := readPart(src.memory, &part, from, end, key)
			if err != nil || !reflect.DeepEqual(got, fresh) {
				t.Errorf("chunks %d to %d: %d records instead of %d, %v", from, end, len(got), len(fresh), err)
			}
			if n := src.bytes - before; n != wantBytes {
				t.Errorf("chunks %d to %d: %d bytes were read, not %d", from, end, n, wantBytes)
			}
		}
		size := func(chunks ...int) (n int64) {
			for _, i := range chunks {
				n += part.Chunks[i].StoredBytes
			}
			return n
		}
		read(0, 2, size(0, 1))
		read(1, 2, 0)
		read(1, 3, size(2))
		read(1, 2, size(1))
		read(2, 4, size(2, 3))

		bad := part.Chunks[1].Offset + 5
		data[bad] ^= 1
		if _, err := readPartWith(&dec, src, &part, 1, 2, key); err == nil {
			t.Error("a flipped bit is no error")
		}
		if _, err := readPartWith(&dec, src, &part, 3, 4, key); err != nil {
			t.Error(err)
		}
		data[bad] ^= 1
		read(3, 4, 0)
		read(1, 2, size(1))
	}
}

// TestDamagedChunkIsForgotten: what was decoded before a damaged chunk is not taken
// for it, nor for what it was.
func TestDamagedChunkIsForgotten(t *testing.T) {
	part, data := writePart(t, makeRecords(100, 40, true), DefaultCompression, ee.Key{}, 1<<10)
	src := memory{"f/" + part.Name: data}
	var dec Decoder
	if _, err := readPartWith(&dec, src, &part, 0, 1, ee.Key{}); err != nil {
		t.Fatal(err)
	}
	data[part.Chunks[1].Offset+40] ^= 1
	for i := range 3 {
		if _, err := readPartWith(&dec, src, &part, 1, 2, ee.Key{}); err == nil {
			t.Fatal(fmt.Sprint("a flipped bit is no error in try ", i))
		}
	}
	data[part.Chunks[0].Offset+40] ^= 1
	if _, err := readPartWith(&dec, src, &part, 0, 1, ee.Key{}); err == nil {
		t.Error("what was decoded before the damage is still used")
	}
}
