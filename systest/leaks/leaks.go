// Package leaks holds that the tests of a package leave no goroutine behind.
package leaks

import (
	"fmt"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Run runs the tests of a package, for its TestMain, and returns the exit code:
// 1 as well when a goroutine outlives them.
func Run(m *testing.M) (code int) {
	code = m.Run()
	if err := find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	return code
}

// find returns an error that shows the goroutines that are left, once it has
// waited for those that are just ending.
func find() (err error) {
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		http.DefaultClient.CloseIdleConnections()
		if err = goleak.Find(known.all()...); err == nil {
			return nil
		}
	}
	return err
}

// KnowThese takes the goroutines that run for known: those that Badger leaves
// behind for good, of a database that it cannot open, or that cannot be closed
// after a fault in it.
func KnowThese() { known.add(goleak.IgnoreCurrent()) }

// known is of the one test binary that this is.
var known = options{list: []goleak.Option{ //nolint:gochecknoglobals // see above
	goleak.IgnoreTopFunction("github.com/golang/glog.(*fileSink).flushDaemon"),
}}

type options struct {
	mu   sync.Mutex
	list []goleak.Option
}

func (o *options) add(option goleak.Option) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.list = append(o.list, option)
}

func (o *options) all() []goleak.Option {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.list[:len(o.list):len(o.list)]
}
