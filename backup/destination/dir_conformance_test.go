package destination_test

import (
	"path/filepath"
	"testing"

	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/destination/destinationtest"
)

// newDir returns a destination whose root does not exist yet.
func newDir(t *testing.T) destination.Destination {
	t.Helper()
	d, err := destination.NewDir(filepath.Join(t.TempDir(), "not", "yet"))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDirConformance(t *testing.T) { destinationtest.Run(t, newDir) }

func TestDirKilledWriters(t *testing.T) {
	destinationtest.RunKilled(t, newDir, func(uri string) (destination.Destination, error) {
		return destination.Open(t.Context(), uri, destination.Options{})
	})
}
