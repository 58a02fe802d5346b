package systest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestWatchedBackup has twenty clients poll the task and the state of an alpha
// while a backup runs. What they see only goes forward.
func TestWatchedBackup(t *testing.T) {
	t.Parallel()
	a := startAlpha(t, t.TempDir(), "--backup_workers", "1")
	a.load(t, model{}, ballastRef, ballast(ballastKB))
	id, err := a.submit(t, t.TempDir(), false)
	if err != nil {
		t.Fatal(err)
	}
	var watching sync.WaitGroup
	watchers := make([]watcher, 20)
	for i := range watchers {
		watching.Go(func() { watchers[i].watch(t, a, id) })
	}
	watching.Wait()
	var all watcher
	for _, w := range watchers {
		all.polls += w.polls
		all.ongoing += w.ongoing
		all.phases = append(all.phases, w.phases...)
		all.slowest = max(all.slowest, w.slowest)
	}
	slices.Sort(all.phases)
	t.Logf("%d polls, the slowest took %v; phases %v", all.polls, all.slowest, slices.Compact(all.phases))
	if all.ongoing == 0 || !slices.Contains(all.phases, "scan") {
		t.Errorf("nobody saw the backup at work: %d times opBackup", all.ongoing)
	}
	if h := a.health(t); h.Ongoing != nil {
		t.Errorf("after the backup there is ongoing %q", h.Ongoing)
	}
	a.stop(t)
}

type watcher struct {
	polls   int
	ongoing int // times that /health said opBackup
	phases  []string
	slowest time.Duration
}

func (w *watcher) watch(t *testing.T, a *alpha, id string) {
	before := task{Status: "Queued"}
	order := []string{"Queued", "Running", "Success"}
	for !before.over() && !t.Failed() {
		began := time.Now()
		now, err := a.task(t, id)
		w.polls++
		w.slowest = max(w.slowest, time.Since(began))
		if err != nil {
			t.Error(err)
			return
		}
		p, q := before.Progress, now.Progress
		if slices.Index(order, now.Status) < max(0, slices.Index(order, before.Status)) ||
			q.Records < p.Records || q.RawBytes < p.RawBytes || q.StoredBytes < p.StoredBytes ||
			q.Fraction < p.Fraction || q.Fraction > 1 || (q.Fraction == 1) != (now.Status == "Success" || now.Phase == "done") {
			t.Errorf("the task went from %+v to %+v", before, now)
		}
		w.phases = append(w.phases, now.Phase)
		if slices.Contains(a.health(t).Ongoing, "opBackup") {
			w.ongoing++
		}
		before = now
	}
}

// health is what /health answers.
type health struct {
	Instance, Address, Status, Group, Version string
	Uptime, LastEcho                          *int64
	Ongoing                                   []string
}

func (a *alpha) health(t *testing.T) health {
	t.Helper()
	res := a.request(t, http.MethodGet, "/health", "")
	var all []health
	decoder := json.NewDecoder(strings.NewReader(res.body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&all); err != nil || res.status != http.StatusOK || len(all) != 1 {
		t.Errorf("/health answers %d: %s (%v)", res.status, res.body, err)
		return health{}
	}
	h := all[0]
	if h.Instance != "alpha" || "http://"+h.Address != a.url || h.Status != "healthy" || h.Group != "1" || h.Version == "" ||
		h.Uptime == nil || h.LastEcho == nil || strings.Contains(res.body, ": ") {
		t.Errorf("/health answers %s", res.body)
	}
	return h
}
