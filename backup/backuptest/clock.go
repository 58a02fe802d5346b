package backuptest

import (
	"math"
	"sync"
)

// clock hands out the timestamps of a managed DB.
type clock struct {
	mu      sync.Mutex
	cond    *sync.Cond
	last    uint64
	running map[uint64]uint64 // commit timestamps, and what they read at
	discard func(uint64)
}

func (c *clock) start(last uint64) {
	c.last, c.running, c.discard = last, make(map[uint64]uint64), func(uint64) {}
	c.cond = sync.NewCond(&c.mu)
}

func (c *clock) onFinish(discard func(uint64)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.discard = discard
}

func (c *clock) begin() (readTs, commitTs uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	readTs = c.lowest()
	c.last++
	c.running[c.last] = readTs
	return readTs, c.last
}

// end finishes a commit. Everything that is not read any more may be discarded:
// the worst a program may do to backups.
func (c *clock) end(ts uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.running, ts)
	unread := c.lowest()
	for _, readTs := range c.running {
		unread = min(unread, readTs)
	}
	c.discard(unread)
	c.cond.Broadcast()
}

// lowest returns the newest timestamp at and below which all is finished.
func (c *clock) lowest() uint64 {
	ts := uint64(math.MaxUint64)
	for running := range c.running {
		ts = min(ts, running-1)
	}
	return min(ts, c.last)
}

func (c *clock) finished() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lowest()
}

func (c *clock) wait(ts uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.lowest() < ts {
		c.cond.Wait()
	}
}
