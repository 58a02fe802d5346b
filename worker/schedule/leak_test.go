package schedule

import (
	"fmt"
	"net/http"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain holds that no goroutine outlives the tests.
func TestMain(m *testing.M) {
	code := m.Run()
	if err := leaked(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// leaked waits for what is just ending.
func leaked() (err error) {
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		http.DefaultClient.CloseIdleConnections()
		if err = goleak.Find(goleak.IgnoreTopFunction("github.com/golang/glog.(*fileSink).flushDaemon")); err == nil {
			return nil
		}
	}
	return err
}
