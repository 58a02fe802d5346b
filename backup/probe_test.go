package backup_test

import (
	"context"
	"strings"
	"testing"

	"github.com/brockdb/brock/backup/backuptest"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/destination/destinationtest"
	"github.com/brockdb/brock/backup/fault"
)

// unconditional is a storage that ignores the condition of Exclusive, as some
// servers of S3 do.
type unconditional struct{ destination.Destination }

func (d unconditional) Create(ctx context.Context, name string, _ destination.Mode) (destination.Writer, error) {
	return d.Destination.Create(ctx, name, destination.Replace)
}

// TestUnconditionalStorageIsRefused: a lease and the commit of a manifest would
// mean nothing there.
func TestUnconditionalStorageIsRefused(t *testing.T) {
	t.Parallel()
	dst := backuptest.OpenDir(t, t.TempDir())
	d := backuptest.New(t, false, nil)
	err := d.Job(unconditional{dst}, nil).Check(t.Context())
	if !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), "written twice") || fault.HintOf(err) == "" {
		t.Errorf("got %v", err)
	}
	if names := destinationtest.Names(t, dst, ""); len(names) != 0 {
		t.Errorf("left: %v", names)
	}
}
