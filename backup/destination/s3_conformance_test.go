package destination_test

import (
	"testing"

	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/destination/destinationtest"
)

func TestMinIOConformance(t *testing.T) {
	server := startMinIO(t)
	destinationtest.Run(t, func(t *testing.T) destination.Destination { return server.open(t, destination.Options{}) })
}

// TestVersityConformance leaves out one test: versitygw keeps folders on its
// disk, and an object made while the last one of its folder is removed may fail
// with ExistingObjectIsDirectory. No backup does that.
func TestVersityConformance(t *testing.T) {
	server := startVersity(t)
	destinationtest.RunExcept(t, func(t *testing.T) destination.Destination {
		return server.open(t, destination.Options{})
	}, "remove beside writers")
}
