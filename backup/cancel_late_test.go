package backup_test

import (
	"context"
	"math/rand/v2"
	"path"
	"sync/atomic"
	"testing"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/backuptest"
	"github.com/brockdb/brock/backup/manifest"
)

// asked is a Source that is canceled when it is told that a backup is stored. It
// takes the cancellation seriously, as one that commits to a database does.
type asked struct {
	backup.Source
	cancel context.CancelFunc
	told   atomic.Bool
}

func (a *asked) Committed(ctx context.Context, head backup.Head) error {
	a.cancel()
	if err := ctx.Err(); err != nil {
		return err
	}
	a.told.Store(true)
	return a.Source.Committed(ctx, head)
}

// TestCanceledTooLate cancels a backup when its manifest is stored and checked:
// it is a backup, and must not be called canceled.
func TestCanceledTooLate(t *testing.T) {
	t.Parallel()
	d := backuptest.New(t, false, nil)
	d.Churn(rand.New(rand.NewPCG(1, 2)))
	dst := newDestination(t)
	ctx, cancel := context.WithCancel(t.Context())
	source := &asked{Source: d.Source, cancel: cancel}
	m, err := d.Job(dst, func(j *backup.Backup) { j.Source = source }).Run(ctx)
	if err != nil || m == nil || !source.told.Load() {
		t.Fatalf("%+v, %v", m, err)
	}
	if _, err := dst.Stat(t.Context(), path.Join(m.Path, manifest.FileName)); err != nil {
		t.Error(err)
	}
	wantType(t, d, dst, manifest.Incremental, "")
}
