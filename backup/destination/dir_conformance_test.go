package destination_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/destination/destinationtest"
	"github.com/brockdb/brock/backup/fault"
)

// newDir returns a destination whose root does not exist yet.
func newDir(t *testing.T) destination.Destination {
	t.Helper()
	return dirAt(t, filepath.Join(t.TempDir(), "not", "yet"))
}

func dirAt(t *testing.T, path string) destination.Destination {
	t.Helper()
	d, err := destination.NewDir(path)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func wantFault(t *testing.T, err error, kind fault.Kind, prefix string) {
	t.Helper()
	if !fault.Is(err, kind) || !strings.HasPrefix(err.Error(), prefix) {
		t.Errorf("got error %v (%v), want %q of kind %v", err, fault.KindOf(err), prefix, kind)
	}
}

func TestDirConformance(t *testing.T) { destinationtest.Run(t, newDir) }

func TestDirKilledWriters(t *testing.T) {
	destinationtest.RunKilled(t, newDir, func(uri string) (destination.Destination, error) {
		return destination.Open(t.Context(), uri, destination.Options{})
	})
}
