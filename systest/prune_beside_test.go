package systest

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestPruneBesideAlpha prunes a destination over and over while an alpha backs
// up to it: each waits for the other or is told that it is locked, what is left
// is sound, and the newest backup has all that was acknowledged.
func TestPruneBesideAlpha(t *testing.T) {
	for _, kind := range []string{"directory", "MinIO"} {
		t.Run(kind, func(t *testing.T) {
			location, series := t.TempDir(), 10
			if kind == "MinIO" {
				location = "minio://" + startBucket(t).Address + "/backups/pruned?secure=false"
				series = 4
			}
			pruneBeside(t, location, series)
		})
	}
}

func pruneBeside(t *testing.T, location string, series int) {
	const members = 2
	m := model{}
	a := startAlpha(t, t.TempDir())
	ended := make(chan struct{})
	var pruning sync.WaitGroup
	pruned, locked := 0, 0
	pruning.Go(func() {
		for last := false; !last; {
			select {
			case <-ended:
				last = true // once more, when nothing is in its way
			default:
			}
			r := brock(t, "prune", "-l", location, "--keep_last", "1", "--dry_run=false")
			switch {
			case r.code == exitGood:
				pruned++
			case !last && strings.Contains(r.stderr, "held by alpha of ") && strings.Contains(r.stderr, "wait until it is done"):
				locked++
			default:
				t.Errorf("prune: %d\n%s", r.code, r.stderr)
				return
			}
		}
	})
	taken := 0
	var newest task
	for deadline := time.Now().Add(2 * time.Minute); taken < series*members; {
		key := fmt.Sprint("key ", taken)
		a.store(t, m, bankRef, putRecord{key, []byte(`"v"`)})
		done, err := a.tryBackup(t, location, taken%members == 0)
		switch {
		case err == nil && done.Status == "Success":
			newest = done
			taken++
		case err != nil && strings.Contains(err.Error(), "held by"), strings.Contains(done.Message, "held by"):
		default:
			t.Fatalf("%+v, %v", done, err)
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d backups were taken", taken)
		}
	}
	close(ended)
	pruning.Wait()
	t.Logf("prune ran %d times and was locked out %d times", pruned, locked)
	a.stop(t)
	good(t, "verify", "-l", location, "--level", "full")
	all := list(t, location)
	if len(all) != members || all[0].BackupID != newest.BackupID {
		t.Errorf("left are %+v, the newest is %+v", all, newest)
	}
	again := startAlpha(t, restoreBackup(t, location, newest.BackupID, int(newest.BackupNum)).dir)
	again.check(t, m, "the newest backup")
	again.stop(t)
}
