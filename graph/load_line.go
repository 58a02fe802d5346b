package graph

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/brockdb/brock/graph/budget"
	"github.com/brockdb/brock/graph/jsontext"
	"github.com/brockdb/brock/worker/store"
)

// decodeRecord reads one line of /load: a JSON object with "value" and, unless
// the record shall get a uid, "key". The value points into line. Errors never
// repeat the value.
func decodeRecord(line []byte) (key string, value []byte, err error) {
	if err := jsontext.Check(line); err != nil {
		return "", nil, err
	}
	err = jsontext.Members(line, func(name string, v jsontext.Value) error {
		switch name {
		case "key":
			if key, err = jsontext.DecodeString(v); err != nil {
				return fmt.Errorf("key: %w", err)
			}
			if key == "" {
				return errors.New("key: it is empty; leave it out to get a new uid")
			}
			if len(key) > store.MaxKeyBytes {
				return fmt.Errorf("key: it has %d bytes; the limit is %d", len(key), store.MaxKeyBytes)
			}
		case "value":
			value = v
			return checkSize(v)
		default:
			return fmt.Errorf("there is a member %.40q; a record has \"key\" and \"value\"", name)
		}
		return nil
	})
	if err == nil && value == nil {
		err = errors.New("it has no value")
	}
	return key, value, err
}

// checkSize finds a value that the store would refuse, with the whole batch.
func checkSize(v jsontext.Value) error {
	if len(v) <= store.MaxValueBytes {
		return nil
	}
	size, err := jsontext.CompactSize(v)
	if err == nil && size > store.MaxValueBytes {
		err = fmt.Errorf("value: it has %d bytes; the limit is %d", size, store.MaxValueBytes)
	}
	return err
}

// lines cuts a body into lines of bounded length.
type lines struct {
	body    *bufio.Reader
	maxLine int
	memory  *budget.Share
	number  int64 // of the line that next returned last, or failed in
}

func newLines(body io.Reader, maxLine int, memory *budget.Share) *lines {
	return &lines{body: bufio.NewReaderSize(body, 64<<10), maxLine: maxLine, memory: memory}
}

// loadBytes is what a load takes of the memory of all requests: two batches,
// one that is stored and one that is read. A line longer than a batch takes
// what it needs.
func loadBytes(line int) int64 { return 2 * int64(max(batchBytes, line)) }

// errLineTooLong is the reason of a line that was not read to its end.
var errLineTooLong = errors.New("it is too long")

// next appends the next line that is not blank to buf, without its end, and
// returns it as line. At the end of the body err is io.EOF. A line that the
// body breaks off in is not returned.
func (l *lines) next(buf []byte) (line, rest []byte, err error) {
	for {
		start := len(buf)
		l.number++
		buf, err = l.readLine(buf)
		line = bytes.TrimSpace(buf[start:])
		switch {
		case errors.Is(err, errLineTooLong):
			return nil, buf, err
		case err != nil && !errors.Is(err, io.EOF):
			return nil, buf, fmt.Errorf("the body cannot be read on: %w", err)
		case len(line) > 0:
			return line, buf, nil // the next call meets io.EOF again
		case err != nil:
			l.number--
			return nil, buf, io.EOF
		}
		buf = buf[:start]
	}
}

func (l *lines) readLine(buf []byte) ([]byte, error) {
	start := len(buf)
	for {
		piece, err := l.body.ReadSlice('\n')
		if len(buf)-start+len(piece) > l.maxLine {
			return buf, fmt.Errorf("%w: the limit is %d bytes", errLineTooLong, l.maxLine)
		}
		if long := len(buf) - start + len(piece); long > batchBytes {
			if err := l.memory.Grow(loadBytes(long)); err != nil {
				return buf, err
			}
		}
		buf = append(buf, piece...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return buf, err
		}
	}
}
