package worker

import (
	"os"
	"testing"

	"github.com/brockdb/brock/systest/leaks"
)

// TestMain holds that no goroutine outlives the tests: none of a node, its
// tasks or a heartbeat.
func TestMain(m *testing.M) { os.Exit(leaks.Run(m)) }
