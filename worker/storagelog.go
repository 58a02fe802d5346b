package worker

import (
	"time"

	"github.com/golang/glog"

	"github.com/brockdb/brock/backup/destination"
)

// The levels of verbosity at which storage is logged.
const (
	logCalls    glog.Level = 2
	logRequests glog.Level = 3
)

// storageLog writes what is done at destinations to the log: from level 2 on
// each call, from 3 on each HTTP request of object stores. Neither has secrets
// in it: objects are named without query, credentials are never named.
type storageLog struct{}

// Call implements destination.Observer.
func (storageLog) Call(c destination.Call) {
	if !glog.V(logCalls) {
		return
	}
	if c.Err != nil {
		glog.Infof("storage: %s %s: %d bytes, %v: %v", c.Op, c.Object, c.Bytes, c.Duration.Round(time.Microsecond), c.Err)
		return
	}
	glog.Infof("storage: %s %s: %d bytes, %v", c.Op, c.Object, c.Bytes, c.Duration.Round(time.Microsecond))
}

// Request implements destination.Observer.
func (storageLog) Request(r destination.Request) {
	if !glog.V(logRequests) {
		return
	}
	if r.Err != nil {
		glog.Infof("storage: %s %s (attempt %d), %v: %v", r.Method, r.Target, r.Retries+1, r.Duration.Round(time.Microsecond), r.Err)
		return
	}
	glog.Infof("storage: %s %s (attempt %d): %d, %d bytes sent, %d received, %v",
		r.Method, r.Target, r.Retries+1, r.Status, r.Sent, r.Received, r.Duration.Round(time.Microsecond))
}
