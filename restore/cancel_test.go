package restore_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/brockdb/brock/backup/backuptest"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
	"github.com/brockdb/brock/ee"
	"github.com/brockdb/brock/restore"
)

// TestCancel cancels a restore and a verification when they read a manifest, a
// part list, a part.
func TestCancel(t *testing.T) {
	t.Parallel()
	s := newSample(t, 32, 1)
	for _, at := range []string{manifest.FileName, ".parts", ".backup"} {
		for _, run := range []func(ctx context.Context, src *backuptest.Hook, dir string) error{
			func(ctx context.Context, src *backuptest.Hook, dir string) error {
				_, err := (&restore.Restore{Source: src, Keys: ee.NewKeyRing(s.key), Dir: dir, Sink: restore.SinkTables}).Run(ctx)
				return err
			},
			func(ctx context.Context, src *backuptest.Hook, dir string) error {
				_, err := (&restore.Restore{Source: src, Keys: ee.NewKeyRing(s.key), Dir: dir, Sink: restore.SinkStream}).Run(ctx)
				return err
			},
			func(ctx context.Context, src *backuptest.Hook, dir string) error {
				_, err := (&restore.Verify{Source: src, Keys: ee.NewKeyRing(s.key), Level: restore.Rehearse, Scratch: filepath.Dir(dir)}).Run(ctx)
				return err
			},
		} {
			dir := filepath.Join(t.TempDir(), "out")
			ctx, cancel := context.WithCancel(t.Context())
			hook := &backuptest.Hook{Destination: s.dst, BeforeOpen: func(name string) {
				if strings.HasSuffix(name, at) {
					cancel()
				}
			}}
			err := run(ctx, hook, dir)
			if !errors.Is(err, context.Canceled) || fault.Is(err, fault.Corrupt) {
				t.Errorf("canceled at %s: %v (%v)", at, err, fault.KindOf(err))
			}
			wantNothingIn(t, dir)
			if left := filesIn(t, filepath.Dir(dir)); len(left) != 0 {
				t.Errorf("canceled at %s: %v is left", at, left)
			}
		}
	}
}
