package task

import (
	"os"
	"testing"

	"github.com/brockdb/brock/systest/leaks"
)

// TestMain holds that no goroutine outlives the tests.
func TestMain(m *testing.M) { os.Exit(leaks.Run(m)) }
