// Package budget bounds the memory that the bodies of all requests take
// together: the limit of one request says nothing about a thousand of them.
package budget

import (
	"errors"
	"io"
	"sync"

	"github.com/brockdb/brock/backup/fault"
)

// ErrSpent is the error of a request that finds the budget spent by others. Its
// kind is Locked: it passes by itself.
var ErrSpent error = fault.New(fault.Locked, "read request", "the requests under way take all the memory they may").
	WithHint("try again in a moment, or start the alpha with a larger --requests_mb")

// Budget is a number of bytes that may be in use at the same time. Its methods
// may be called from many goroutines; a nil Budget has no end.
type Budget struct {
	mu   sync.Mutex
	free int64
}

// New returns a budget of so many bytes.
func New(bytes int64) *Budget { return &Budget{free: bytes} }

// Open begins what one request takes. It must be closed.
func (b *Budget) Open() *Share { return &Share{budget: b} }

// Free returns how many bytes are not in use.
func (b *Budget) Free() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.free
}

// Share is what one request has taken. It is for one goroutine.
type Share struct {
	budget *Budget
	taken  int64
}

// Grow makes a share at least so many bytes large, or returns ErrSpent. It never
// waits: those who wait for one another's shares would wait forever.
func (s *Share) Grow(bytes int64) error {
	more := bytes - s.taken
	if s.budget == nil || more <= 0 {
		return nil
	}
	s.budget.mu.Lock()
	defer s.budget.mu.Unlock()
	if more > s.budget.free {
		return ErrSpent
	}
	s.budget.free -= more
	s.taken = bytes
	return nil
}

// Close gives the share back. What it was taken for must not be used anymore.
func (s *Share) Close() {
	if s.budget == nil {
		return
	}
	s.budget.mu.Lock()
	defer s.budget.mu.Unlock()
	s.budget.free += s.taken
	s.taken = 0
}

// firstBytes is what is taken for a body before any of it has come.
const firstBytes = 4 << 10

// ReadAll reads r to its end. Memory is taken as bytes arrive, never because a
// client says that they will: expected, which may be -1, only saves what
// doubling would take too much.
func (s *Share) ReadAll(r io.Reader, expected int64) ([]byte, error) {
	if err := s.Grow(firstBytes); err != nil {
		return nil, err
	}
	body := make([]byte, 0, firstBytes)
	for {
		n, err := r.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case errors.Is(err, io.EOF):
			return body, nil
		case err != nil:
			return nil, err
		}
		if len(body) == cap(body) {
			larger := 2 * cap(body)
			if int64(len(body)) <= expected && expected < int64(larger) {
				larger = int(expected) + 1 // room to meet the end
			}
			if err := s.Grow(int64(larger)); err != nil {
				return nil, err
			}
			body = append(make([]byte, 0, larger), body...)
		}
	}
}
