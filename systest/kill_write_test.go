package systest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// TestKilledWriter kills an alpha with SIGKILL while clients write. After the
// restart every acknowledged put is there, one that was not answered is there
// as a whole or not at all, and of a load there is what stands in front of some
// line.
func TestKilledWriter(t *testing.T) {
	t.Parallel()
	random := newRandom(t)
	a := startAlpha(t, t.TempDir())
	clients := make([]*writer, 4)
	for i := range clients {
		clients[i] = &writer{into: ref{"writers", fmt.Sprint(i)}, acknowledged: records{}}
	}
	const rounds = 4
	answered := 0
	for round := range rounds {
		var busy sync.WaitGroup
		for _, w := range clients {
			w.pending = nil
			seed := random.Uint64()
			busy.Go(func() { w.run(t, a, rand.New(rand.NewPCG(seed, 2))) })
		}
		lines := loadedLines(round, 10_000)
		into := ref{"loads", fmt.Sprint(round)}
		busy.Go(func() { // killed in the middle, so there is an error or, rarely, none
			_, _ = a.Load(t.Context(), into.namespace, into.name, bytes.NewReader(lines))
		})
		time.Sleep(time.Duration(100+random.IntN(300)) * time.Millisecond) // the moment is what the test is about
		a.kill(t)
		busy.Wait()

		a = a.again(t)
		present := map[ref]bool{}
		for _, c := range a.catalog(t) {
			present[ref{c.Namespace, c.Name}] = true
		}
		for _, w := range clients {
			w.settle(t, a, present)
			answered += len(w.acknowledged)
		}
		if present[into] {
			if got := a.dump(t, into); !bytes.HasPrefix(lines, got) {
				t.Errorf("of %d bytes that were loaded there are %d, which are not the first", len(lines), len(got))
			}
		}
	}
	a.stop(t)
	if answered == 0 {
		t.Error("no put was answered, so nothing was shown")
	}
}

// loadedLines are in the order in which they are dumped, too.
func loadedLines(round, n int) []byte {
	var lines []byte
	for i := range n {
		lines = appendLine(lines, fmt.Sprintf("line %08d", i), fmt.Sprintf(`"of round %d"`, round))
	}
	return lines
}

// writer puts pairs of records, one put after the other.
type writer struct {
	into         ref
	acknowledged records
	pending      []putRecord // the put that was not answered
	count        int
}

// run goes on until a put is not answered.
func (w *writer) run(t *testing.T, a *alpha, random *rand.Rand) {
	for {
		w.count++
		value := json.RawMessage(fmt.Sprintf(`{"put":%d}`, w.count))
		n := random.IntN(200)
		w.pending = []putRecord{{fmt.Sprintf("left %d", n), value}, {fmt.Sprintf("right %d", n), value}}
		if _, _, err := a.put(t, w.into, w.pending...); err != nil {
			return
		}
		for _, r := range w.pending {
			w.acknowledged[r.Key] = string(r.Value)
		}
	}
}

// settle compares what is stored with what was acknowledged, with and without
// the pending put, and takes over the one that it finds.
func (w *writer) settle(t *testing.T, a *alpha, present map[ref]bool) {
	t.Helper()
	if !present[w.into] {
		if len(w.acknowledged) > 0 {
			t.Fatalf("%s is gone", w.into)
		}
		return
	}
	got := a.dump(t, w.into)
	if bytes.Equal(got, w.acknowledged.dump()) {
		return
	}
	for _, r := range w.pending {
		w.acknowledged[r.Key] = string(r.Value)
	}
	wantDump(t, w.into.String()+" after a kill", got, w.acknowledged.dump())
}
