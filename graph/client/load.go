package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"

	"github.com/brockdb/brock/backup/fault"
)

// Loaded is what a load stored.
type Loaded struct {
	Records  int64  `json:"records"`
	Batches  int64  `json:"batches"`  // commits, each atomic
	Bytes    int64  `json:"bytes"`    // of the lines, unpacked
	CommitTs uint64 `json:"commitTs"` // of the last batch; 0 when there was none
}

// Load streams r, lines of {"key": …, "value": …}, plain or gzip, into a
// collection, which is created if missing; namespace "" is the default one. It
// takes the same memory whatever the size of r.
//
// A line that cannot be stored ends the load: a *LineError is in the chain of
// the error then. After an error r may still be read from for a moment.
func (c *Client) Load(ctx context.Context, namespace, collection string, r io.Reader) (*Loaded, error) {
	op := "load collection " + collection
	source := startSource(ctx, r)
	defer source.stop()
	body := bufio.NewReaderSize(source.out, 64<<10)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url("/load", target(namespace, collection)), body)
	if err != nil {
		return nil, fault.Wrap(err, "%s", op)
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	if head, _ := body.Peek(2); string(head) == "\x1f\x8b" { // an error comes back when the body is read
		req.Header.Set("Content-Encoding", "gzip")
	}
	transport := source.endWithConnection(c.transport)
	defer transport.CloseIdleConnections()
	res, err := c.doOver(transport, req)
	if cause := source.failed.Load(); cause != nil {
		if err == nil {
			_ = res.Body.Close() // only read
		}
		return nil, fault.Wrap(fault.Wrap(*cause, "read the records"), "%s", op)
	}
	if err != nil {
		return nil, fault.Wrap(err, "%s", op)
	}
	defer res.Body.Close() // only read
	if res.StatusCode != http.StatusOK {
		return nil, loadError(op, res)
	}
	loaded := new(Loaded)
	if err := json.NewDecoder(res.Body).Decode(loaded); err != nil {
		return nil, fault.New(fault.Other, op, "all was sent and the answer broke off: %w", err).
			WithHint("load it again: a record is stored over the one of the same key")
	}
	return loaded, nil
}

// loadError tells how far a load came, when it began at all.
func loadError(op string, res *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(res.Body, maxErrorBytes))
	if err != nil {
		return fault.New(fault.Other, op, "the alpha answers %s and the reason broke off: %w", res.Status, err)
	}
	var answer struct {
		Error *struct {
			Line   int64  `json:"line"`
			Reason string `json:"reason"`
			Hint   string `json:"hint"`
			Stored int64  `json:"stored"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &answer) != nil || answer.Error == nil {
		res.Body = io.NopCloser(bytes.NewReader(body))
		return responseError(op, res)
	}
	e := answer.Error
	return fault.New(fault.Other, op, "%w", &LineError{Line: e.Line, Reason: e.Reason, Stored: e.Stored}).
		WithHint("%s", e.Hint)
}

// source passes a reader on, so that a Read of it that blocks, as one of a
// terminal does, holds nobody up: net/http waits for the Read of a body even
// when the request is canceled or its connection gone. It remembers what made
// reading fail, which net/http does not tell apart from a broken connection.
type source struct {
	out    *io.PipeReader
	unhook func() bool
	failed atomic.Pointer[error]
}

func startSource(ctx context.Context, r io.Reader) *source {
	out, in := io.Pipe()
	s := &source{out: out}
	s.unhook = context.AfterFunc(ctx, func() { _ = out.CloseWithError(context.Cause(ctx)) })
	go func() {
		_, err := io.Copy(in, reading{r, &s.failed})
		_ = in.CloseWithError(err) // nil is the end of the file
	}()
	return s
}

func (s *source) stop() {
	s.unhook()
	_ = s.out.Close() // never fails
}

// endWithConnection returns a transport for one request: when its connection is
// closed, the source is stopped.
func (s *source) endWithConnection(t *http.Transport) *http.Transport {
	t = t.Clone()
	dial := t.DialContext
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &watchedConn{conn, func() { _ = s.out.CloseWithError(errConnectionClosed) }}, nil
	}
	return t
}

var errConnectionClosed = errors.New("the connection was closed")

type watchedConn struct {
	net.Conn
	closed func()
}

func (c *watchedConn) Close() error {
	c.closed()
	return c.Conn.Close()
}

// reading keeps the error of a Read that failed.
type reading struct {
	r      io.Reader
	failed *atomic.Pointer[error]
}

func (r reading) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		r.failed.Store(&err)
	}
	return n, err
}
