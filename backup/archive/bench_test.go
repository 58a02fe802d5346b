package archive

import (
	"bytes"
	stdgzip "compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/dgraph-io/badger/v4/pb"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"

	"github.com/brockdb/brock/ee"
	"github.com/brockdb/brock/systest/dataset"
)

// The benchmarks take one stage of a backup or a restore each, with its peers
// beside it in the same run. Bytes per second are of raw records throughout,
// before compression, so that stages can be compared.

const benchChunkBytes = 2 << 20

// benchRecords returns about rawBytes of a data set, in key order.
func benchRecords(b *testing.B, name string, rawBytes int) []Record {
	b.Helper()
	set, err := dataset.Find(name, 1)
	if err != nil {
		b.Fatal(err)
	}
	var records []Record
	for i, size := uint64(0), 0; size < rawBytes; i++ {
		e := set.Entry(i, 0)
		r := Record{Key: e.Key, Value: e.Value, UserMeta: e.UserMeta, ExpiresAt: e.ExpiresAt, Version: 1_000_000 + i}
		size += bodyLen(&r)
		records = append(records, r)
	}
	slices.SortFunc(records, func(a, b Record) int { return bytes.Compare(a.Key, b.Key) })
	return records
}

// benchChunk returns one chunk of a data set as a pb.KVList.
func benchChunk(b *testing.B, name string) []byte {
	b.Helper()
	return appendRecords(nil, benchRecords(b, name, benchChunkBytes))
}

func appendRecords(dst []byte, records []Record) []byte {
	for i := range records {
		dst = AppendRecord(dst, &records[i])
	}
	return dst
}

func benchKey(b *testing.B) ee.Key {
	b.Helper()
	key, err := ee.NewKey(bytes.Repeat([]byte{0x5a}, 32))
	if err != nil {
		b.Fatal(err)
	}
	return key
}

// stage measures run, which works on rawBytes.
func stage(b *testing.B, name string, rawBytes int, run func(b *testing.B) error) {
	b.Helper()
	b.Run(name, func(b *testing.B) {
		b.SetBytes(int64(rawBytes))
		b.ReportAllocs()
		if err := run(b); err != nil { // grows the buffers
			b.Fatal(err)
		}
		for b.Loop() {
			if err := run(b); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkEncode turns records into a pb.KVList: by hand, and by Badger's
// types and proto.Marshal.
func BenchmarkEncode(b *testing.B) {
	records := benchRecords(b, "a", benchChunkBytes)
	raw := appendRecords(nil, records)
	out := make([]byte, 0, len(raw))
	stage(b, "AppendRecord", len(raw), func(*testing.B) error {
		out = appendRecords(out[:0], records)
		return nil
	})
	stage(b, "proto.Marshal", len(raw), func(*testing.B) (err error) {
		list := &pb.KVList{Kv: make([]*pb.KV, len(records))}
		for i := range records {
			r := &records[i]
			list.Kv[i] = &pb.KV{Key: r.Key, Value: r.Value, UserMeta: []byte{r.UserMeta}, Version: r.Version,
				ExpiresAt: r.ExpiresAt, Meta: []byte{r.Meta}}
		}
		out, err = proto.MarshalOptions{}.MarshalAppend(out[:0], list)
		return err
	})
	if !bytes.Equal(out, raw) {
		b.Fatal("the two do not write the same bytes")
	}
}

// BenchmarkCompress makes one gzip member of a chunk of each data set, at each
// level, and with other gzip writers. ratio is raw by stored bytes.
func BenchmarkCompress(b *testing.B) {
	for _, set := range []string{"a", "b", "c"} {
		raw := benchChunk(b, set)
		for _, level := range []Level{DefaultCompression, BestSpeed, BestCompression, NoCompression} {
			enc, err := NewEncoder(level)
			if err != nil {
				b.Fatal(err)
			}
			stage(b, fmt.Sprintf("set=%s/%v", set, level), len(raw), func(b *testing.B) error {
				member, err := enc.encode(raw)
				b.ReportMetric(float64(len(raw))/float64(len(member)), "ratio")
				return err
			})
		}
		var out bytes.Buffer
		peer := func(name string, w interface {
			io.WriteCloser
			Reset(io.Writer)
		}) {
			stage(b, fmt.Sprintf("set=%s/%s", set, name), len(raw), func(b *testing.B) error {
				out.Reset()
				w.Reset(&out)
				_, err := w.Write(raw)
				err = errors.Join(err, w.Close())
				b.ReportMetric(float64(len(raw))/float64(out.Len()), "ratio")
				return err
			})
		}
		std, err := stdgzip.NewWriterLevel(&out, 1)
		if err != nil {
			b.Fatal(err)
		}
		peer("compress/gzip_1", std)
		klauspost, err := gzip.NewWriterLevel(&out, 2)
		if err != nil {
			b.Fatal(err)
		}
		peer("klauspost/gzip_2", klauspost)
		if klauspost, err = gzip.NewWriterLevel(&out, 1); err != nil {
			b.Fatal(err)
		}
		peer("klauspost/gzip_1", klauspost)
		fastest, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
		if err != nil {
			b.Fatal(err)
		}
		var frame []byte
		stage(b, fmt.Sprintf("set=%s/klauspost/zstd_fastest", set), len(raw), func(b *testing.B) error {
			frame = fastest.EncodeAll(raw, frame[:0])
			b.ReportMetric(float64(len(raw))/float64(len(frame)), "ratio")
			return nil
		})
	}
}

// BenchmarkEncrypt encrypts and digests bytes in memory. Here bytes per second
// are of what is stored: compressed chunks.
func BenchmarkEncrypt(b *testing.B) {
	key := benchKey(b)
	member := bytes.Repeat([]byte("compressed data."), benchChunkBytes/16)
	stream := key.Stream(ee.NewIV(), 0)
	stage(b, "AES-256-CTR", len(member), func(*testing.B) error {
		stream.XORKeyStream(member, member)
		return nil
	})
	var digest [sha256.Size]byte
	stage(b, "SHA-256", len(member), func(*testing.B) error {
		digest = sha256.Sum256(member)
		return nil
	})
	stage(b, "MAC", len(member), func(*testing.B) error {
		copy(digest[:], key.MAC(member))
		return nil
	})
	if digest == [sha256.Size]byte{} {
		b.Fatal("nothing was digested")
	}
}

// benchPart is a part in memory.
type benchPart struct {
	records []Record
	rawSize int
	stored  bytes.Buffer
	part    Part
}

func newBenchPart(b *testing.B, set string, rawBytes int, key ee.Key) *benchPart {
	b.Helper()
	p := &benchPart{records: benchRecords(b, set, rawBytes)}
	p.rawSize = len(appendRecords(nil, p.records))
	enc, err := NewEncoder(DefaultCompression)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := p.write(&p.stored, enc, key, nil); err != nil {
		b.Fatal(err)
	}
	return p
}

// write writes the part and returns the scratch space.
func (p *benchPart) write(w io.Writer, enc *Encoder, key ee.Key, buf []byte) ([]byte, error) {
	pw, err := NewPartWriter(w, "r1-g1.backup", enc, PartOptions{Key: key, ChunkBytes: benchChunkBytes}, buf)
	if err != nil {
		return buf, err
	}
	for i := range p.records {
		if err := pw.Add(&p.records[i], true, uint64(i%4+1)); err != nil {
			return buf, err
		}
	}
	p.part, buf, err = pw.Finish()
	return buf, err
}

// Open makes a benchPart an Opener.
func (p *benchPart) Open(_ context.Context, _ string, offset, length int64) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(p.stored.Bytes()[offset : offset+length])), nil
}

const benchPartBytes = 8 << 20

// BenchmarkWritePart is all that happens to records between the scan and the
// file: encode, compress, encrypt, digest.
func BenchmarkWritePart(b *testing.B) {
	for _, set := range []string{"a", "b", "c"} {
		key := benchKey(b)
		p := newBenchPart(b, set, benchPartBytes, key)
		for _, level := range []Level{DefaultCompression, NoCompression} {
			enc, err := NewEncoder(level)
			if err != nil {
				b.Fatal(err)
			}
			var buf []byte
			stage(b, fmt.Sprintf("set=%s/%v", set, level), p.rawSize, func(*testing.B) (err error) {
				buf, err = p.write(io.Discard, enc, key, buf)
				return err
			})
		}
	}
}

// BenchmarkReadPart is all that happens between the file and the merge: digest,
// decrypt, inflate, parse.
func BenchmarkReadPart(b *testing.B) {
	for _, set := range []string{"a", "b", "c"} {
		key := benchKey(b)
		p := newBenchPart(b, set, benchPartBytes, key)
		dec := new(Decoder)
		stage(b, "set="+set, p.rawSize, func(b *testing.B) error {
			n, err := p.read(b.Context(), key, dec)
			if err == nil && n != len(p.records) {
				err = fmt.Errorf("%d records came back, not %d", n, len(p.records))
			}
			return err
		})
	}
}

// read reads all chunks and counts the records.
func (p *benchPart) read(ctx context.Context, key ee.Key, dec *Decoder) (n int, err error) {
	r := OpenChunks(ctx, p, "folder", &p.part, 0, len(p.part.Chunks), key, dec)
	defer func() { err = errors.Join(err, r.Close()) }()
	var rec Record
	for {
		records, _, err := r.Next()
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		for err == nil {
			if err = records.Next(&rec); err == nil {
				n++
			}
		}
		if !errors.Is(err, io.EOF) {
			return n, err
		}
	}
}

// BenchmarkInflate reads one member back, with brock's reader and with others.
func BenchmarkInflate(b *testing.B) {
	for _, set := range []string{"a", "b", "c"} {
		raw := benchChunk(b, set)
		enc, err := NewEncoder(DefaultCompression)
		if err != nil {
			b.Fatal(err)
		}
		member, err := enc.encode(raw)
		if err != nil {
			b.Fatal(err)
		}
		dec, out := new(Decoder), make([]byte, len(raw))
		stage(b, "set="+set+"/Decoder", len(raw), func(*testing.B) (err error) {
			out, err = dec.decode(out, member, int64(len(raw)))
			return err
		})
		src := bytes.NewReader(member)
		peer := func(name string, r io.Reader, reset func(io.Reader) error) {
			stage(b, "set="+set+"/"+name, len(raw), func(*testing.B) error {
				src.Reset(member)
				if err := reset(src); err != nil {
					return err
				}
				clear(out[:1])
				if _, err := io.ReadFull(r, out); err != nil {
					return err
				}
				_, err := io.Copy(io.Discard, r) // the trailer with the CRC-32
				return err
			})
			if !bytes.Equal(out, raw) {
				b.Fatal("the chunk came back changed")
			}
		}
		klauspost, err := gzip.NewReader(src)
		if err != nil {
			b.Fatal(err)
		}
		peer("klauspost/gzip", klauspost, klauspost.Reset)
		src.Reset(member)
		std, err := stdgzip.NewReader(src)
		if err != nil {
			b.Fatal(err)
		}
		peer("compress/gzip", std, std.Reset)
		fastest, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
		if err != nil {
			b.Fatal(err)
		}
		frame := fastest.EncodeAll(raw, nil)
		unzstd, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
		if err != nil {
			b.Fatal(err)
		}
		stage(b, "set="+set+"/klauspost/zstd_fastest", len(raw), func(*testing.B) (err error) {
			out, err = unzstd.DecodeAll(frame, out[:0])
			return err
		})
		unzstd.Close()
	}
}

// BenchmarkParse walks through the records of a chunk: in place, and by
// Badger's types and proto.Unmarshal.
func BenchmarkParse(b *testing.B) {
	records := benchRecords(b, "a", benchChunkBytes)
	raw := appendRecords(nil, records)
	stage(b, "Records", len(raw), func(*testing.B) error {
		rs, rec, n := Records{rest: raw}, Record{}, 0
		for rs.Next(&rec) == nil {
			n++
		}
		return wantRecords(n, len(records))
	})
	stage(b, "proto.Unmarshal", len(raw), func(*testing.B) error {
		var list pb.KVList
		if err := proto.Unmarshal(raw, &list); err != nil {
			return err
		}
		return wantRecords(len(list.Kv), len(records))
	})
}

func wantRecords(got, want int) error {
	if got != want {
		return fmt.Errorf("there are %d records, not %d", got, want)
	}
	return nil
}

// BenchmarkPartList encodes and decodes the encrypted part list of 10,000
// chunks in 20 parts: about 20 GB of records. Bytes per second are of the
// stored list.
func BenchmarkPartList(b *testing.B) {
	key := benchKey(b)
	list := benchList(20, 500)
	stored, err := EncodeList(list, key)
	if err != nil {
		b.Fatal(err)
	}
	stage(b, "encode", len(stored), func(*testing.B) error {
		_, err := EncodeList(list, key)
		return err
	})
	in := make([]byte, len(stored))
	stage(b, "decode", len(stored), func(*testing.B) error {
		copy(in, stored) // decrypting overwrites it
		back, err := DecodeList(in, key, list.Head)
		if err != nil {
			return err
		}
		return wantRecords(len(back.Parts), len(list.Parts))
	})
}

// benchList returns a sound part list of an encrypted group.
func benchList(parts, chunks int) *List {
	const chunkRecords, storedBytes = 13_000, 600_000
	key := func(i int) []byte { return fmt.Appendf(nil, "tenant-3/user/%016d/9f83ab12", i) }
	l := &List{Head: ListHead{BackupID: "0a1b2c3d4e5f", Group: 1, ReadTs: 32}}
	for i := range parts {
		iv := ee.NewIV()
		p := Part{Name: fmt.Sprintf("r32-g1.%04d.backup", i+1), StoredBytes: ee.IVSize, LargestValue: 117,
			IV: hex.EncodeToString(iv[:]), Collections: map[uint64]int64{7: chunkRecords}}
		for j := range chunks {
			n := (i*chunks + j) * chunkRecords
			digest := sha256.Sum256(key(n))
			c := Chunk{Offset: p.StoredBytes, StoredBytes: storedBytes + int64(j), RawBytes: benchChunkBytes, Records: chunkRecords,
				FirstKey: key(n), SHA256: hex.EncodeToString(digest[:])}
			p.StoredBytes += c.StoredBytes
			p.RawBytes += c.RawBytes
			p.Records += c.Records
			p.LastKey = key(n + chunkRecords - 1)
			p.Chunks = append(p.Chunks, c)
		}
		p.FirstKey, p.SHA256 = p.Chunks[0].FirstKey, p.Digest()
		l.Parts = append(l.Parts, p)
	}
	return l
}
