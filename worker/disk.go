package worker

import (
	"strings"
	"syscall"

	"github.com/brockdb/brock/worker/store"
)

// Disk returns how it stands with the disk of the store.
func (n *Node) Disk() store.DiskHealth { return n.store.Disk() }

// Broken is closed when the store has failed for good and takes no more writes.
// The node should be closed then: what was acknowledged is found when it is
// opened again.
func (n *Node) Broken() <-chan struct{} { return n.store.Broken() }

// diskErrors are what a disk that fails is known by. Badger's errors are text.
var diskErrors = []syscall.Errno{syscall.EIO, syscall.ENOSPC, syscall.EROFS, syscall.EDQUOT, syscall.ESTALE, syscall.ENODEV, syscall.EACCES, syscall.EPERM}

// DiskCause is the part of an error of the store that everybody may know, such as
// "input/output error": the rest names paths.
func DiskCause(err error) string {
	for _, errno := range diskErrors {
		if strings.Contains(err.Error(), errno.Error()) {
			return errno.Error()
		}
	}
	return ""
}
