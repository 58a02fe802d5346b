package restore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"

	badger "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/ristretto/v2/z"

	"github.com/brockdb/brock/backup/archive"
	"github.com/brockdb/brock/backup/fault"
)

// streamSink writes through badger.StreamWriter, one stream per slice. A stream
// is closed at the end of its slice, so at most one per worker is open.
type streamSink struct {
	db      *badger.DB
	own     bool // opened here, so closed here
	writer  *badger.StreamWriter
	records atomic.Int64
}

func newStreamSink(dir string, db *badger.DB) (sink, error) {
	s := &streamSink{db: db}
	if db == nil {
		var err error
		if s.db, err = badger.OpenManaged(targetOptions(dir)); err != nil {
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
		return 0, errors.Join(fault.Wrap(err, "finish the new database"), s.close())
	}
	return s.records.Load(), fault.Wrap(s.close(), "close the new database")
}

func (s *streamSink) abort() error {
	s.writer.Cancel()
	return s.close()
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

func (w *streamSlice) flush() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fault.New(fault.Other, "write to the new database", "%.300v", p)
		}
	}()
	w.written = true
	err = w.sink.writer.Write(w.buf)
	w.buf.Reset()
	return fault.Wrap(err, "write to the new database")
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
