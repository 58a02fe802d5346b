package restore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"

	badger "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/ristretto/v2/z"

	"github.com/brockdb/brock/backup/archive"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/ee"
)

// streamSink writes through badger.StreamWriter, one stream per slice. A stream
// is closed at the end of its slice, so at most one per worker is open.
type streamSink struct {
	db      *badger.DB
	dir     string // "" for an open database
	own     bool   // opened here, so closed here
	reserve int64  // bytes on disk that a flush needs at most
	writer  *badger.StreamWriter
	records atomic.Int64
}

// newStreamSink returns a sink for at most rawBytes.
func newStreamSink(dir string, db *badger.DB, rawBytes int64, atRest ee.Key) (sink, error) {
	s := &streamSink{db: db, dir: dir, reserve: 2*int64(tableBytes(rawBytes)) + streamBatchBytes}
	if db == nil {
		o := targetOptions(dir, atRest)
		// Doubled for each level from 2 on. A quarter of that here: up to
		// sixteen finished tables wait to be written.
		o.BaseTableSize = int64(tableBytes(rawBytes)) >> o.MaxLevels
		err := s.checkSpace()
		if err != nil {
			return nil, err
		}
		if s.db, err = badger.OpenManaged(o); err != nil {
			return nil, fault.Wrap(err, "open the new database in %s", dir)
		}
		s.own = true
	}
	s.writer = s.db.NewStreamWriter()
	if err := s.writer.Prepare(); err != nil {
		return nil, errors.Join(fault.Wrap(err, "prepare the new database"), s.abort())
	}
	return s, nil
}

func (s *streamSink) slice(number int) (sliceWriter, error) {
	return &streamSlice{sink: s, id: uint32(number), buf: z.NewBuffer(streamBatchBytes, "brock.restore")}, nil
}

func (s *streamSink) finish() (int64, error) {
	if err := s.writer.Flush(); err != nil {
		return 0, errors.Join(fault.Wrap(err, "finish the new database"), s.empty(), s.close())
	}
	records := s.records.Load()
	if s.own {
		if err := checkTables(s.db, records, -1); err != nil {
			return 0, errors.Join(err, s.close())
		}
	}
	return records, fault.Wrap(s.close(), "close the new database")
}

// checkTables compares what Badger finds with what was written. A negative
// number of tables is not known.
func checkTables(db *badger.DB, records int64, tables int) error {
	var found int64
	list := db.Tables()
	for _, t := range list {
		found += int64(t.KeyCount)
	}
	if found != records || tables >= 0 && tables != len(list) {
		return fault.New(fault.Other, "restore", "Badger finds %d records in %d tables, %d in %d were written", found, len(list), records, tables)
	}
	return nil
}

func (s *streamSink) abort() error {
	s.writer.Cancel()
	return errors.Join(s.empty(), s.close())
}

// empty removes from an open database what was written: the StreamWriter makes
// tables visible as they come, and leaves them there when it is canceled.
func (s *streamSink) empty() error {
	if s.own {
		return nil
	}
	return fault.Wrap(s.db.DropAll(), "empty the database after the failed restore")
}

func (s *streamSink) close() error {
	if !s.own {
		return nil
	}
	s.own = false
	return s.db.Close()
}

// streamBatchBytes is how much is handed to the StreamWriter at once.
const streamBatchBytes = 4 << 20

// tagStreamID is field 10 of pb.KV, a varint.
const tagStreamID = 10 << 3

type streamSlice struct {
	sink    *streamSink
	id      uint32
	buf     *z.Buffer
	scratch []byte
	written bool
}

func (w *streamSlice) add(rec *archive.Record) error {
	w.scratch = archive.AppendKV(w.scratch[:0], rec)
	w.scratch = append(w.scratch, tagStreamID)
	w.scratch = binary.AppendUvarint(w.scratch, uint64(w.id))
	w.buf.WriteSlice(w.scratch)
	w.sink.records.Add(1)
	if w.buf.LenNoPadding() < streamBatchBytes {
		return nil
	}
	return w.flush()
}

func (w *streamSlice) flush() error {
	if err := w.sink.checkSpace(); err != nil {
		return err
	}
	w.written = true
	err := recovered(func() error { return w.sink.writer.Write(w.buf) })
	w.buf.Reset()
	return fault.Wrap(err, "write to the new database")
}

// checkSpace fails before the disk is full: the StreamWriter writes to mapped
// files in goroutines of its own, where a full disk ends the process.
func (s *streamSink) checkSpace() error {
	if s.dir == "" {
		return nil
	}
	free, known, err := freeBytes(s.dir)
	if err != nil {
		return fault.Wrap(err, "find the free space of %s", s.dir)
	}
	if known && free < s.reserve {
		return fault.New(fault.NoSpace, "write to the new database", "%d bytes are free in %s; the next tables may need %d", free, s.dir, s.reserve)
	}
	return nil
}

// recovered calls fn, in which Badger writes to mapped files. A full disk shows
// as a fault there, which would end the process, and as panics.
func recovered(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if _, faulted := p.(interface{ Addr() uintptr }); faulted {
			err = fault.New(fault.NoSpace, "write a mapped file", "there is no room, or the device failed")
		} else {
			err = fmt.Errorf("%.300v", p)
		}
	}()
	return fn()
}

// close writes what is left and closes the stream, which a slice without
// records never opened.
func (w *streamSlice) close() error {
	var err error
	if w.buf.LenNoPadding() > 0 || w.written {
		badger.KVToBuffer(&pb.KV{StreamId: w.id, StreamDone: true}, w.buf)
		err = w.flush()
	}
	if rerr := w.buf.Release(); rerr != nil {
		err = errors.Join(err, fmt.Errorf("release buffer: %w", rerr))
	}
	return err
}
