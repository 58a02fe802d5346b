package archive

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/ee"
)

// memory is an Opener of objects in memory.
type memory map[string][]byte

func (m memory) Open(_ context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	data, ok := m[name]
	if !ok || offset+length > int64(len(data)) {
		return nil, fault.New(fault.Corrupt, "open "+name, "missing or short")
	}
	return io.NopCloser(bytes.NewReader(data[offset : offset+length])), nil
}

func someKey(t testing.TB) ee.Key {
	t.Helper()
	key, err := ee.NewKey(bytes.Repeat([]byte{3}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// makeRecords returns n records in key order, compressible or not.
func makeRecords(n, valueBytes int, compressible bool) []Record {
	r := rand.New(rand.NewPCG(uint64(n), 5))
	out := make([]Record, n)
	for i := range out {
		v := make([]byte, valueBytes)
		for j := range v {
			if compressible {
				v[j] = byte('a' + r.IntN(4))
			} else {
				v[j] = byte(r.Uint32())
			}
		}
		out[i] = Record{Key: fmt.Appendf(nil, "key-%08d", i), Value: v, Version: uint64(i%90 + 10), UserMeta: byte(i)}
	}
	return out
}

func writePart(t testing.TB, recs []Record, level Level, key ee.Key, chunkBytes int) (Part, []byte) {
	t.Helper()
	enc, err := NewEncoder(level)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w, err := NewPartWriter(&out, "r100-g1.backup", enc, PartOptions{Key: key, ChunkBytes: chunkBytes}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range recs {
		if err := w.Add(&recs[i], true, uint64(i%3)); err != nil {
			t.Fatal(err)
		}
	}
	part, _, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return part, out.Bytes()
}

func readPart(src Opener, part *Part, from, end int, key ee.Key) (out []Record, err error) {
	return readPartWith(new(Decoder), src, part, from, end, key)
}

func readPartWith(dec *Decoder, src Opener, part *Part, from, end int, key ee.Key) (out []Record, err error) {
	r := OpenChunks(context.Background(), src, "f", part, from, end, key, dec)
	defer r.Close() // only read
	for {
		records, _, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		for {
			var rec Record
			if err := records.Next(&rec); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, err
			}
			rec.Key, rec.Value = bytes.Clone(rec.Key), bytes.Clone(rec.Value)
			out = append(out, rec)
		}
	}
}

func TestPartRoundTrip(t *testing.T) {
	for _, level := range []Level{DefaultCompression, BestSpeed, BestCompression, NoCompression} {
		for _, key := range []ee.Key{{}, someKey(t)} {
			for _, compressible := range []bool{true, false} {
				recs := makeRecords(3000, 300, compressible)
				part, data := writePart(t, recs, level, key, 64<<10)
				what := fmt.Sprintf("%v, key %v, compressible %v", level, key, compressible)
				if int64(len(data)) != part.StoredBytes || part.SHA256 != part.Digest() {
					t.Errorf("%s: digest or size is wrong", what)
				}
				if len(part.Chunks) < 10 {
					t.Fatalf("%s: %d chunks", what, len(part.Chunks))
				}
				src := memory{"f/" + part.Name: data}
				for from := 0; from < len(part.Chunks); from += 3 {
					var want []Record
					at := 0
					for i := range part.Chunks {
						if i >= from {
							want = append(want, recs[at:at+int(part.Chunks[i].Records)]...)
						}
						at += int(part.Chunks[i].Records)
					}
					got, err := readPart(src, &part, from, len(part.Chunks), key)
					if err != nil {
						t.Fatalf("%s: %v", what, err)
					}
					if len(got) != len(want) {
						t.Fatalf("%s from chunk %d: %d records, want %d", what, from, len(got), len(want))
					}
					for i := range got {
						if !sameRecord(&got[i], &want[i]) {
							t.Fatalf("%s: record %d is %+v", what, i, got[i])
						}
					}
				}
			}
		}
	}
}

// TestStandardToolsRead: the standard library's gzip reads a plain part, Badger
// itself loads what is inside.
func TestStandardToolsRead(t *testing.T) {
	for _, level := range []Level{DefaultCompression, NoCompression} {
		recs := makeRecords(2000, 200, true)
		_, data := writePart(t, recs, level, ee.Key{}, 32<<10)
		zip, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		db, err := badger.Open(badger.DefaultOptions("").WithInMemory(true).WithLogger(nil))
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Load(zip, 16); err != nil {
			t.Fatal(err)
		}
		n := 0
		err = db.View(func(txn *badger.Txn) error {
			it := txn.NewIterator(badger.DefaultIteratorOptions)
			defer it.Close()
			for it.Rewind(); it.Valid(); it.Next() {
				v, err := it.Item().ValueCopy(nil)
				if err != nil || !bytes.Equal(v, recs[n].Value) || !bytes.Equal(it.Item().Key(), recs[n].Key) {
					return fmt.Errorf("record %d is wrong: %w", n, err)
				}
				n++
			}
			return nil
		})
		if err != nil || n != len(recs) {
			t.Errorf("%d of %d records: %v", n, len(recs), err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEveryByteCounts flips each byte of a part in turn, and cuts it
// everywhere: reading must fail with kind Corrupt.
func TestEveryByteCounts(t *testing.T) {
	for _, key := range []ee.Key{{}, someKey(t)} {
		part, data := writePart(t, makeRecords(60, 50, true), DefaultCompression, key, 4<<10)
		start := 0
		if !key.IsZero() {
			start = ee.IVSize // the IV is compared by verify; reading takes it from the part list
		}
		for i := start; i < len(data); i++ {
			bad := bytes.Clone(data)
			bad[i] ^= 1 << (i % 8)
			if _, err := readPart(memory{"f/" + part.Name: bad}, &part, 0, len(part.Chunks), key); !fault.Is(err, fault.Corrupt) {
				t.Fatalf("byte %d of %d flipped: %v", i, len(data), err)
			}
		}
		for i := range data {
			if _, err := readPart(memory{"f/" + part.Name: data[:i]}, &part, 0, len(part.Chunks), key); !fault.Is(err, fault.Corrupt) {
				t.Fatalf("cut at byte %d: %v", i, err)
			}
		}
	}
}

// TestMemberDamage damages members whose digest is not checked first.
func TestMemberDamage(t *testing.T) {
	enc, err := NewEncoder(DefaultCompression)
	if err != nil {
		t.Fatal(err)
	}
	raw := bytes.Repeat([]byte("some text "), 500)
	member, err := enc.encode(raw)
	if err != nil {
		t.Fatal(err)
	}
	member = bytes.Clone(member)
	if got, err := new(Decoder).decode(nil, member, int64(len(raw))); err != nil || !bytes.Equal(got, raw) {
		t.Fatal("round trip:", err)
	}
	for i := range member {
		bad := bytes.Clone(member)
		bad[i] ^= 0x10
		if got, err := new(Decoder).decode(nil, bad, int64(len(raw))); err == nil && !bytes.Equal(got, raw) {
			t.Errorf("byte %d flipped: other data came out without an error", i)
		}
		if _, err := new(Decoder).decode(nil, member[:i], int64(len(raw))); err == nil {
			t.Errorf("cut at %d: no error", i)
		}
	}
}

func TestIncompressibleIsStored(t *testing.T) {
	recs := makeRecords(2000, 1000, false)
	part, data := writePart(t, recs, DefaultCompression, ee.Key{}, 256<<10)
	if over := float64(len(data))/float64(part.RawBytes) - 1; over > 0.002 {
		t.Errorf("random data grew by %.2f %%", over*100)
	}
}

func FuzzMember(f *testing.F) {
	enc, err := NewEncoder(DefaultCompression)
	if err != nil {
		f.Fatal(err)
	}
	for _, raw := range [][]byte{nil, []byte("x"), bytes.Repeat([]byte("abc"), 300)} {
		member, err := enc.encode(raw)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(bytes.Clone(member), int64(len(raw)))
	}
	f.Fuzz(func(t *testing.T, member []byte, rawBytes int64) {
		if rawBytes < 0 || rawBytes > 1<<20 {
			return
		}
		raw, err := new(Decoder).decode(nil, member, rawBytes)
		if err != nil {
			return
		}
		zip, err := gzip.NewReader(bytes.NewReader(member))
		if err != nil {
			t.Fatal(err)
		}
		if std, err := io.ReadAll(zip); err != nil || !bytes.Equal(std, raw) {
			t.Fatalf("the standard library reads other bytes: %v", err)
		}
	})
}
