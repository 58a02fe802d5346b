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

func TestVersityConformance(t *testing.T) {
	server := startVersity(t)
	destinationtest.Run(t, func(t *testing.T) destination.Destination { return server.open(t, destination.Options{}) })
}
