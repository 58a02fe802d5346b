//go:build linux

package faultfs

import (
	"path"
	"slices"
)

// Event is a call that decides what is there after a power cut: Write, Mkdir and
// Link when they begin, Fsync and SyncDir when they have succeeded.
type Event struct {
	Op       Op
	Path, To string // below the mount; "" is its root. To is the new name of a Link
}

// Events returns what happened since Heal, in order.
func (f *FS) Events() []Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.events)
}

func (f *FS) record(e Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, e)
}

// below returns the path of what is called name in the folder n.
func (n *node) below(name string) string { return path.Join(n.Path(nil), name) }
