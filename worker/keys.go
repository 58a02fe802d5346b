package worker

import (
	"context"

	"github.com/brockdb/brock/ee"
)

// KeyRequest says where the keys for one operation come from. The zero
// KeyRequest means the keys of the node itself.
type KeyRequest struct {
	EncryptionKeyFile string
}

// KeysFor returns the keys that an operation may use: those that the request
// names, else the node's own.
func (n *Node) KeysFor(_ context.Context, q KeyRequest) (ee.KeyRing, error) {
	if q == (KeyRequest{}) {
		return n.options.Keys, nil
	}
	return ee.ReadKeyFiles(q.EncryptionKeyFile)
}
