package backup_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/backuptest"
	"github.com/brockdb/brock/backup/destination/destinationtest"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
)

// TestCancel cancels a backup at each of its steps, with and without a reason:
// the error says so, nothing is left, and the next backup goes on.
func TestCancel(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"before", "brock.lease/", "begin", ".backup", ".parts", manifest.FileName} {
		for _, reason := range []error{nil, fault.New(fault.Canceled, "go on", "the operator said stop")} {
			d := backuptest.New(t, false, nil)
			d.Churn(rand.New(rand.NewPCG(1, 2)))
			dst := newDestination(t)
			parent := d.Backup(dst, nil)
			d.Churn(rand.New(rand.NewPCG(3, 4)))
			ctx, cancel := context.WithCancelCause(t.Context())
			hook := &backuptest.Hook{Destination: dst, BeforeCreate: func(name string) {
				if strings.Contains(name, at) {
					cancel(reason)
				}
			}}
			job := d.Job(hook, func(j *backup.Backup) {
				if at == "begin" {
					j.Source = &lateSource{d.Source, func() { cancel(reason) }}
				}
			})
			if at == "before" {
				cancel(reason)
			}
			m, err := job.Run(ctx)
			if m != nil || err == nil || fault.Is(err, fault.Corrupt) || reason == nil && !errors.Is(err, context.Canceled) && !fault.Is(err, fault.Canceled) {
				t.Errorf("canceled at %s: %+v, %v", at, m, err)
			}
			if reason != nil && at != "before" && at != "brock.lease/" && !fault.Is(err, fault.Canceled) {
				t.Errorf("canceled at %s: the error does not give the reason: %v", at, err)
			}
			if got := folders(t, dst); len(got) != 1 || got[0] != parent.Path {
				t.Errorf("canceled at %s: %v is listed", at, got)
			}
			for _, name := range destinationtest.Names(t, dst, "") {
				if !strings.HasPrefix(name, parent.Path) && !strings.HasPrefix(name, "brock.lease/") {
					t.Errorf("canceled at %s: %s is left", at, name)
				}
			}
			wantType(t, d, dst, manifest.Incremental, "")
		}
	}
}
