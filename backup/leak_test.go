package backup_test

import (
	"fmt"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/brockdb/brock/backup/destination/destinationtest"
)

// TestMain holds that no goroutine outlives the tests.
func TestMain(m *testing.M) {
	code := m.Run()
	if _, child := destinationtest.ChildJob(); !child { // which ends in the middle of what it does
		if err := leaked(); code == 0 && err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// leaked waits for what is just ending.
func leaked() (err error) {
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		http.DefaultClient.CloseIdleConnections()
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
