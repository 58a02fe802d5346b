package store

import (
	"sync"
	"time"

	"go.uber.org/goleak"
)

// leaked returns the goroutines that outlive the tests, after it has waited for
// those that are just ending.
func leaked() (err error) {
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		if err = goleak.Find(badgerLeaks.all()...); err == nil {
			return nil
		}
	}
	return err
}

// knownLeaks are goroutines that Badger leaves behind for good: of a database
// that it cannot open, or that cannot be closed after a fault in it.
type knownLeaks struct {
	mu      sync.Mutex
	options []goleak.Option
}

var badgerLeaks knownLeaks

// now takes those that run for known.
func (k *knownLeaks) now() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.options = append(k.options, goleak.IgnoreCurrent())
}

func (k *knownLeaks) all() []goleak.Option {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]goleak.Option{goleak.IgnoreTopFunction("github.com/golang/glog.(*fileSink).flushDaemon")}, k.options...)
}
