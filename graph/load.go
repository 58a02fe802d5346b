package graph

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/graph/budget"
	"github.com/brockdb/brock/worker"
	"github.com/brockdb/brock/worker/store"
)

// A batch of /load is full when it reaches either. Each costs an fsync.
const (
	batchRecords = 10_000
	batchBytes   = 4 << 20
)

// loaded is the answer to a load that came to its end.
type loaded struct {
	Records  int64  `json:"records"`
	Batches  int64  `json:"batches"`
	Bytes    int64  `json:"bytes"`    // of their lines, unpacked
	CommitTs uint64 `json:"commitTs"` // of the last batch; 0 when there was none
}

// loadFailure is the answer to one that did not. The records of all lines
// before the bad one are stored.
type loadFailure struct {
	Error struct {
		Line     int64  `json:"line"` // from 1; 0 when it is not about a line
		Reason   string `json:"reason"`
		Hint     string `json:"hint,omitempty"`
		Stored   int64  `json:"stored"` // records
		CommitTs uint64 `json:"commitTs"`
	} `json:"error"`
}

// load stores the records of the body, batch by batch.
func (s *Server) load(node *worker.Node) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		target, err := collectionOf(r, "namespace", "collection")
		if err == nil {
			err = checkNames(node, target)
		}
		if err != nil {
			refuse(w, statusOf(err), err)
			return
		}
		memory := s.memory.Open()
		defer memory.Close()
		if err := memory.Grow(loadBytes(0)); err != nil {
			w.Header().Set("Retry-After", "1")
			refuse(w, http.StatusServiceUnavailable, err)
			return
		}
		body, status, err := decoded(r)
		if err != nil {
			refuse(w, status, err)
			return
		}
		l := newLoader(r.Context(), node, target, s.batchRecords)
		line, err := l.read(newLines(body, s.options.LoadLineBytes, memory))
		if err != nil {
			answerFailure(w, l, line, err)
			return
		}
		writeJSON(w, http.StatusOK, l.done)
	})
}

// answerFailure tells how far a load came. What the client sent wrong is 400,
// what is wrong here is 500.
func answerFailure(w http.ResponseWriter, l *loader, line int64, err error) {
	status := http.StatusInternalServerError
	switch {
	case errors.Is(err, budget.ErrSpent), fault.Is(err, fault.Canceled):
		status = http.StatusServiceUnavailable
	case errors.Is(err, os.ErrDeadlineExceeded):
		status = http.StatusRequestTimeout
	case fault.Is(err, fault.Usage):
		status = http.StatusBadRequest
	}
	var f loadFailure
	f.Error.Line, f.Error.Reason, f.Error.Hint = line, reason(err), fault.HintOf(err)
	f.Error.Stored, f.Error.CommitTs = l.done.Records, l.done.CommitTs
	// The rest of the body is not read; the client shall not wait to send it.
	w.Header().Set("Connection", "close")
	writeJSON(w, status, f)
}

// reason is what stands beside the number of the line, which says the rest.
func reason(err error) string {
	var bad *badLine
	if errors.As(err, &bad) {
		return bad.cause.Error()
	}
	return err.Error()
}

// collectionOf reads the names from the URL and refuses parameters that are
// not known: a misspelled one would load into another collection.
func collectionOf(r *http.Request, known ...string) (store.Ref, error) {
	op := "use " + r.URL.Path
	query := r.URL.Query()
	for name, values := range query {
		switch {
		case !slices.Contains(known, name):
			return store.Ref{}, fault.New(fault.Usage, op, "there is no parameter %.40q", name).
				WithHint("there are: %s", strings.Join(known, ", "))
		case len(values) > 1:
			return store.Ref{}, fault.New(fault.Usage, op, "parameter %s stands twice", name)
		}
	}
	ref := store.Ref{Namespace: query.Get("namespace"), Collection: query.Get("collection")}
	if ref.Collection == "" {
		return ref, fault.New(fault.Usage, op, "it names no collection").WithHint("add ?collection=NAME")
	}
	if ref.Namespace == "" {
		ref.Namespace = store.DefaultNamespace
	}
	return ref, nil
}

// checkNames refuses names before anything is read.
func checkNames(node *worker.Node, target store.Ref) error {
	view, err := node.View()
	if err != nil {
		return err
	}
	defer view.Close()
	if _, err := view.Lookup(target.Namespace, target.Collection); err != nil && !fault.Is(err, fault.NotFound) {
		return err
	}
	return nil
}

// decoded returns the body without its compression, which a header or the
// first two bytes tell.
func decoded(r *http.Request) (body io.Reader, status int, err error) {
	const op = "read body"
	encoding := strings.ToLower(strings.TrimSpace(r.Header.Get("Content-Encoding")))
	if encoding != "" && encoding != "identity" && encoding != "gzip" {
		return nil, http.StatusUnsupportedMediaType,
			fault.New(fault.Usage, op, "its Content-Encoding is not gzip")
	}
	buffered := bufio.NewReaderSize(r.Body, 64<<10)
	head, err := buffered.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, http.StatusBadRequest, fault.New(fault.Usage, op, "it broke off: %w", err)
	}
	if encoding != "gzip" && string(head) != "\x1f\x8b" {
		return buffered, 0, nil
	}
	unzipped, err := gzip.NewReader(buffered)
	if err != nil {
		return nil, http.StatusBadRequest, fault.New(fault.Usage, op, "it is not gzip: %w", err)
	}
	return unzipped, 0, nil
}

// badLine is a line that cannot be stored.
type badLine struct {
	line  int64
	cause error
}

func (b *badLine) Error() string { return fmt.Sprintf("line %d: %v", b.line, b.cause) }
func (b *badLine) Unwrap() error { return b.cause }

// loader commits batches while the next one is read.
type loader struct {
	ctx    context.Context
	node   *worker.Node
	target store.Ref
	most   int // records of a batch

	filled chan *loadBatch // to the committer; holds none: at most two batches exist
	failed chan struct{}   // closed when a commit failed
	ended  chan struct{}   // closed when the committer has ended

	// The committer's until ended is closed.
	done  loaded
	err   error
	first int64 // line of the batch that failed
}

// loadBatch is a batch with the lines it is made of.
type loadBatch struct {
	store.Batch
	text  []byte // the lines; the values point into it
	bytes int64  // of the lines
	first int64  // line
}

func newLoader(ctx context.Context, node *worker.Node, target store.Ref, batchRecords int) *loader {
	return &loader{ctx: ctx, node: node, target: target, most: batchRecords,
		filled: make(chan *loadBatch), failed: make(chan struct{}), ended: make(chan struct{})}
}

// read stores all lines up to the end or to the first that is bad, whose number
// it returns.
func (l *loader) read(in *lines) (line int64, err error) {
	go l.commit()
	line, err = l.fill(in)
	close(l.filled)
	<-l.ended
	if l.err != nil { // of a line before the one that was being read
		return l.first, l.err
	}
	return line, err
}

// fill reads batches and hands them on.
func (l *loader) fill(in *lines) (line int64, err error) {
	b := new(loadBatch)
	for {
		text, rest, err := in.next(b.text)
		b.text = rest
		if err == nil {
			err = l.add(b, text, in.number)
		}
		switch {
		case errors.Is(err, io.EOF) && text == nil:
			l.hand(b)
			return 0, nil
		case err != nil:
			l.hand(b) // what was good before the bad line
			return in.number, l.lineError(in.number, err)
		}
		if len(b.Puts) == l.most || len(b.text) >= batchBytes {
			if !l.hand(b) {
				return 0, nil // the committer has the error
			}
			b = new(loadBatch)
		}
	}
}

func (l *loader) lineError(number int64, err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) { // which ends the context too
		return &fault.Error{Kind: fault.Usage, Op: "load records", Err: &badLine{number, fmt.Errorf("its body came too slowly: %w", err)},
			Hint: fmt.Sprintf("send %d bytes a second or more, without pauses longer than the alpha's --client_timeout", leastOfLoad)}
	}
	if l.ctx.Err() != nil {
		return fault.New(fault.Canceled, "load records", "the client went away in line %d", number)
	}
	return &fault.Error{Kind: fault.Usage, Op: "load records", Err: &badLine{number, err}}
}

func (l *loader) add(b *loadBatch, line []byte, number int64) error {
	key, value, err := decodeRecord(line)
	if err != nil {
		return err
	}
	if len(b.Puts) == 0 {
		b.first = number
	}
	b.bytes += int64(len(line))
	b.Puts = append(b.Puts, store.Put{
		Namespace: l.target.Namespace, Collection: l.target.Collection, Key: key, Value: value,
	})
	return nil
}

// hand passes a batch on. It returns false when the committer takes no more.
func (l *loader) hand(b *loadBatch) bool {
	if len(b.Puts) == 0 {
		return true
	}
	select {
	case l.filled <- b:
		return true
	case <-l.failed:
		return false
	}
}

// commit stores batches in the order of their lines.
func (l *loader) commit() {
	defer close(l.ended)
	for b := range l.filled {
		// A client that goes away leaves what it has sent whole.
		ts, err := l.node.Propose(context.WithoutCancel(l.ctx), &b.Batch)
		if err != nil {
			l.err, l.first = fault.Wrap(err, "store the %d records from line %d on", len(b.Puts), b.first), b.first
			close(l.failed)
			return
		}
		l.done.Records += int64(len(b.Puts))
		l.done.Batches++
		l.done.Bytes += b.bytes
		l.done.CommitTs = ts
	}
}
