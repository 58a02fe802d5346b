package worker

import (
	"context"

	"github.com/golang/glog"

	"github.com/brockdb/brock/backup/destination"
)

// openDestination opens what a request names, by the node's options and the
// request's own credentials.
func (n *Node) openDestination(ctx context.Context, uri string, credentials destination.Credentials) (destination.Destination, error) {
	o := n.options.Storage
	if !credentials.IsZero() {
		o.Credentials = credentials
	}
	if o.Warn == nil {
		o.Warn = func(message string) { glog.Warningf("%s", message) }
	}
	return destination.Open(ctx, uri, o)
}
