package restore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"

	badger "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
	"github.com/dgraph-io/ristretto/v2/z"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/brockdb/brock/backup/archive"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/ee"
)

// The tables are Badger's own (package table), built with its builder. What is
// written by hand is the MANIFEST that places them at the last level: magic
// "Bdgr", two bytes of external magic 0, two bytes of version 8, then change
// sets of length, CRC-32C and a pb.ManifestChangeSet (manifest.go of Badger
// v4.9). The directory is then opened and closed by Badger itself, and its
// tables are counted.
const (
	manifestMagic   = "Bdgr"
	manifestVersion = 8
	lastLevel       = 6
)

// knownBadger are the module versions whose MANIFEST and tables were checked.
var knownBadger = []string{"v4.9.6"}

// tablesKnown reports why tables cannot be written for the Badger version this
// program is built with, or nil. A test binary has no module versions.
var tablesKnown = sync.OnceValue(func() error {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return errors.New("the program has no build information")
	}
	for _, dep := range info.Deps {
		if dep.Path != "github.com/dgraph-io/badger/v4" {
			continue
		}
		for _, v := range knownBadger {
			if dep.Version == v && dep.Replace == nil {
				return nil
			}
		}
		return fmt.Errorf("version %s of Badger was not checked", dep.Version)
	}
	return errors.New("the Badger version is not known")
})

// tableSink writes tables directly.
type tableSink struct {
	dir     string
	opts    table.Options
	nextID  atomic.Uint64
	records atomic.Int64

	mu      sync.Mutex
	changes []*pb.ManifestChange

	// syncs makes tables durable beside the workers: that is waiting, and they
	// have more to do.
	syncs errgroup.Group

	released sync.Once
}

// maxSyncs bounds how many tables wait to be durable.
const maxSyncs = 4

// newTableSink returns a sink for at most rawBytes.
func newTableSink(dir string, rawBytes int64) (sink, error) {
	o := targetOptions(dir, ee.Key{})
	s := &tableSink{dir: dir, opts: table.Options{
		TableSize: tableBytes(rawBytes), BlockSize: o.BlockSize, BloomFalsePositive: o.BloomFalsePositive,
		ChkMode: options.NoVerification, Compression: o.Compression, ZSTDCompressionLevel: o.ZSTDCompressionLevel,
		AllocPool: z.NewAllocatorPool(tablePoolSize),
	}}
	s.syncs.SetLimit(maxSyncs)
	return s, nil
}

const (
	tablePoolSize = 8
	// maxTableRaw bounds what a table holds before compression. With block
	// buffers that double and their snappy form, its builder takes up to four
	// times that, from one buffer of twice the table's size; when it is too
	// small, the builder takes another, twice as large.
	maxTableRaw = 24 << 20
)

func (s *tableSink) slice(int) (sliceWriter, error) { return &tableSlice{sink: s}, nil }

type tableSlice struct {
	sink    *tableSink
	builder *table.Builder
	records int64
	raw     int64  // bytes in the present table, before compression
	key     []byte // with timestamp
	last    []byte // without
}

func (w *tableSlice) add(rec *archive.Record) error {
	full := w.raw > maxTableRaw || w.builder != nil && w.builder.ReachedCapacity()
	if full && string(w.last) != string(rec.Key) {
		if err := w.close(); err != nil {
			return err
		}
	}
	if w.builder == nil {
		w.builder = table.NewTableBuilder(w.sink.opts)
	}
	w.last = append(w.last[:0], rec.Key...)
	w.key = binary.BigEndian.AppendUint64(append(w.key[:0], rec.Key...), math.MaxUint64-rec.Version)
	w.builder.Add(w.key, y.ValueStruct{Meta: rec.Meta, UserMeta: rec.UserMeta, ExpiresAt: rec.ExpiresAt, Value: rec.Value}, 0)
	w.records++
	w.raw += int64(len(rec.Key) + len(rec.Value))
	return nil
}

// close makes a table of what was added since the last one. It is durable when
// the sink has finished.
func (w *tableSlice) close() error {
	if w.builder == nil {
		return nil
	}
	s := w.sink
	id := s.nextID.Add(1)
	var file *z.MmapFile
	err := recovered(func() (err error) {
		file, err = writeTable(table.NewFilename(id, s.dir), w.builder)
		return err
	})
	w.builder.Close()
	w.builder, w.raw = nil, 0
	if err != nil {
		return fault.Wrap(err, "write table %06d.sst in %s", id, s.dir)
	}
	s.syncs.Go(func() error {
		return fault.Wrap(errors.Join(file.Sync(), file.Close(-1)), "write table %06d.sst in %s to disk", id, s.dir)
	})
	s.records.Add(w.records)
	w.records = 0
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes = append(s.changes, &pb.ManifestChange{Id: id, Op: pb.ManifestChange_CREATE,
		Level: lastLevel, Compression: uint32(s.opts.Compression)})
	return nil
}

// writeTable is table.CreateTable without its end: waiting for the disk, and
// opening the table.
func writeTable(name string, b *table.Builder) (*z.MmapFile, error) {
	data := b.Done()
	file, err := z.OpenMmapFile(name, os.O_CREATE|os.O_RDWR|os.O_EXCL, data.Size)
	if !errors.Is(err, z.NewFile) {
		return nil, err
	}
	if n := data.Copy(file.Data); n != len(file.Data) {
		return nil, errors.Join(fmt.Errorf("%d bytes came where %d were announced", n, data.Size), file.Close(-1))
	}
	return file, nil
}

// abort waits for what is under way. Its errors add nothing to why it is called.
func (s *tableSink) abort() error {
	_ = s.syncs.Wait()
	s.release()
	return nil
}

// release ends the goroutine of the pool and gives its memory back. Nothing is
// built any more.
func (s *tableSink) release() { s.released.Do(s.opts.AllocPool.Release) }

// finish writes the MANIFEST, then has Badger open the directory, and counts.
func (s *tableSink) finish() (int64, error) {
	defer s.release()
	if err := s.syncs.Wait(); err != nil {
		return 0, err
	}
	if err := s.writeManifest(); err != nil {
		return 0, fault.Wrap(err, "write the MANIFEST in %s", s.dir)
	}
	db, err := badger.OpenManaged(targetOptions(s.dir, ee.Key{}))
	if err != nil {
		return 0, fault.Wrap(err, "open the new database in %s", s.dir)
	}
	records := s.records.Load()
	err = errors.Join(checkTables(db, records, len(s.changes)), fault.Wrap(db.Close(), "close the new database in %s", s.dir))
	if err != nil {
		return 0, err
	}
	return records, nil
}

func (s *tableSink) writeManifest() error {
	changes, err := proto.Marshal(&pb.ManifestChangeSet{Changes: s.changes})
	if err != nil {
		return err
	}
	b := append([]byte(manifestMagic), 0, 0, 0, manifestVersion)
	b = binary.BigEndian.AppendUint32(b, uint32(len(changes)))
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(changes, y.CastagnoliCrcTable))
	f, err := os.OpenFile(filepath.Join(s.dir, badger.ManifestFilename), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, changes...))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return syncDir(s.dir)
}
