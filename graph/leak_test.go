package graph

import (
	"os"
	"testing"

	"github.com/brockdb/brock/systest/leaks"
)

// TestMain holds that no goroutine outlives the tests: none of a server or a
// node, of a load or a dump that was cut off.
func TestMain(m *testing.M) { os.Exit(leaks.Run(m)) }
