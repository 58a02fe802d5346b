package store

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/brockdb/brock/backup/fault"
)

// Propose commits a batch: the one way by which anything in the store changes.
// It returns when the batch is durable and visible to new views, with the
// commit ts its records carry. All of a batch becomes visible or nothing.
//
// Commit timestamps only grow. Batches that are proposed at the same time may
// share one, with the write and the fsync of it, unless they touch the same
// record or one makes or drops a collection that the other uses.
//
// An error of kind Usage, Exists or NotFound says that the batch was refused and
// changed nothing, of kind Canceled that ctx was done before the commit began or
// the store is closed; once it has begun, ctx no longer matters. After any other
// error the batch may be found committed after a restart; until then the store
// takes no more batches.
func (s *Store) Propose(ctx context.Context, b *Batch) (commitTs uint64, err error) {
	p, err := prepare(b)
	if err != nil {
		return 0, err
	}
	ts, uidKeys, err := s.submit(ctx, p)
	if err != nil {
		return 0, err
	}
	for index, key := range uidKeys {
		b.Puts[index].Key = key
	}
	return ts, nil
}

// submit hands p to the committer and waits for the outcome. uidKeys holds the
// keys that were made of uids, by their index in Batch.Puts.
func (s *Store) submit(ctx context.Context, p *prepared) (ts uint64, uidKeys map[int]string, err error) {
	if ctx.Err() != nil {
		return 0, nil, errCanceled(ctx)
	}
	proposal := newProposal(p)
	if !s.queue.push(proposal) {
		return 0, nil, errClosed("commit batch")
	}
	select {
	case out := <-proposal.done:
		return out.ts, out.uidKeys, out.err
	case <-s.disk.broken:
		return s.abandon(proposal)
	case <-ctx.Done():
		if proposal.cancel() {
			return 0, nil, errCanceled(ctx)
		}
	}
	select {
	case out := <-proposal.done:
		return out.ts, out.uidKeys, out.err
	case <-s.disk.broken:
		return s.abandon(proposal)
	}
}

// abandon gives up a proposal of a store that has failed. One whose commit has
// begun may never hear of its end; if it is known, it counts.
func (s *Store) abandon(proposal *proposal) (ts uint64, uidKeys map[int]string, err error) {
	if !proposal.cancel() {
		select {
		case out := <-proposal.done:
			return out.ts, out.uidKeys, out.err
		default:
		}
	}
	return 0, nil, s.disk.failed()
}

func errCanceled(ctx context.Context) error {
	return fault.New(fault.Canceled, "commit batch", "%w", context.Cause(ctx))
}

// proposal is a batch on its way through the committer.
type proposal struct {
	*prepared
	state atomic.Int32 // waiting, begun or canceled
	done  chan outcome // receives once, unless canceled
}

type outcome struct {
	ts      uint64
	uidKeys map[int]string
	err     error
}

const (
	waiting int32 = iota
	begun
	canceled
)

func newProposal(p *prepared) *proposal {
	return &proposal{prepared: p, done: make(chan outcome, 1)}
}

// begin takes the proposal for good; it returns false when it was canceled.
func (p *proposal) begin() bool { return p.state.CompareAndSwap(waiting, begun) }

// cancel gives the proposal up; it returns false when its commit has begun.
func (p *proposal) cancel() bool { return p.state.CompareAndSwap(waiting, canceled) }

// refuse ends a proposal that has not begun.
func (p *proposal) refuse(err error) {
	if p.begin() {
		p.done <- outcome{err: err}
	}
}

// queue holds the proposals that the committer has not looked at. Its length is
// bounded by the number of callers, each of which waits for its outcome.
type queue struct {
	wake chan struct{} // receives after a push, after close and on ring

	mu     sync.Mutex
	items  []*proposal
	closed bool
}

func newQueue() *queue { return &queue{wake: make(chan struct{}, 1)} }

func (q *queue) push(p *proposal) bool {
	q.mu.Lock()
	open := !q.closed
	if open {
		q.items = append(q.items, p)
	}
	q.mu.Unlock()
	q.ring()
	return open
}

// take returns all proposals in order, and whether the queue is closed.
func (q *queue) take() (items []*proposal, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	items, q.items = q.items, nil
	return items, q.closed
}

func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.ring()
}

// ring wakes the committer.
func (q *queue) ring() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}
