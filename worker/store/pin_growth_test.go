package store

import (
	"strings"
	"testing"
	"time"
)

// TestPinsGrowDear: a pin is dropped when the store has grown by so much since
// it was set, and not when another has.
func TestPinsGrowDear(t *testing.T) {
	size := int64(1000)
	tr := newTracker(10, func(uint64) {}, -1)
	tr.pinMaxGrowth, tr.size = 500, func() int64 { return size }
	now := time.Now()
	tr.series["old"] = &seriesState{BackupID: "old", Committed: &headState{BackupNum: 1, ReadTs: 3, At: now, StoreBytes: 1000}}
	tr.series["young"] = &seriesState{BackupID: "young", Committed: &headState{BackupNum: 1, ReadTs: 7, At: now, StoreBytes: 1200}}
	tr.series["before"] = &seriesState{BackupID: "before", Committed: &headState{BackupNum: 1, ReadTs: 5, At: now}}
	size = 1499
	if tr.expiryDue(now) {
		t.Error("a pin is dropped before its time")
	}
	size = 1500
	if !tr.expiryDue(now) {
		t.Fatal("no pin is too dear")
	}
	_, publish, err := tr.dropExpired(now)
	if err != nil {
		t.Fatal(err)
	}
	publish()
	if s := tr.series["old"]; s.Committed != nil || !strings.Contains(s.Dropped, "the store had grown by") {
		t.Errorf("the dear pin: %+v", s)
	}
	for _, id := range []string{"young", "before"} { // of one before, no size was written down
		if s := tr.series[id]; s.Committed == nil || s.Dropped != "" {
			t.Errorf("the pin of %s: %+v", id, s)
		}
	}
}
