package systest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestManyCollections has ten thousand collections backed up, half of them
// dropped, backed up again, and both states restored.
func TestManyCollections(t *testing.T) {
	t.Parallel()
	const count = 10_000
	c := &manyCollections{alpha: startAlpha(t, t.TempDir()), model: model{}, destination: t.TempDir()}
	var all []ref
	for i := range count {
		all = append(all, ref{fmt.Sprintf("ns%d", i%7), fmt.Sprintf("collection %05d", i)})
	}
	c.timed(t, "create 10,000", func() { c.createAll(t, all) })
	for i := 0; i < count; i += count / 10 {
		c.alpha.store(t, c.model, all[i], putRecord{"a", json.RawMessage(`1`)}, putRecord{"b", json.RawMessage(`{}`)})
	}
	c.backup(t, "full")
	c.timed(t, "drop 5,000", func() { c.dropAll(t, all[:count/2]) })
	c.backup(t, "incremental")
	c.alpha.stop(t)
	for _, p := range c.points {
		c.restore(t, p)
	}
}

type manyCollections struct {
	alpha       *alpha
	model       model
	destination string
	points      []point
}

func (c *manyCollections) timed(t *testing.T, what string, do func()) {
	t.Helper()
	began := time.Now()
	do()
	t.Logf("%-30s %v", what, time.Since(began).Round(time.Millisecond))
}

// createAll creates collections with a schema, many in one operation, from
// several clients at once.
func (c *manyCollections) createAll(t *testing.T, all []ref) {
	t.Helper()
	c.eachBatch(t, all, func(b *strings.Builder, i int, r ref) {
		fmt.Fprintf(b, "c%d: createCollection(input: {namespace: %q, collection: %q, schema: {no: %d}}) { commitTs }\n",
			i, r.namespace, r.name, i)
	})
	for i, r := range all {
		c.model[r] = &collection{fmt.Sprintf(`{"no":%d}`, i%batchOfCollections), records{}}
	}
}

func (c *manyCollections) dropAll(t *testing.T, all []ref) {
	t.Helper()
	c.eachBatch(t, all, func(b *strings.Builder, i int, r ref) {
		fmt.Fprintf(b, "d%d: dropCollection(input: {namespace: %q, collection: %q}) { commitTs }\n", i, r.namespace, r.name)
	})
	for _, r := range all {
		delete(c.model, r)
	}
}

// batchOfCollections is how many root fields an operation may have.
const batchOfCollections = 32

// eachBatch runs operations made of a field per collection; i is the number of
// the field.
func (c *manyCollections) eachBatch(t *testing.T, all []ref, field func(b *strings.Builder, i int, r ref)) {
	t.Helper()
	batches := make(chan []ref, len(all))
	for batch := range slices.Chunk(all, batchOfCollections) {
		batches <- batch
	}
	close(batches)
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for batch := range batches {
				var b strings.Builder
				b.WriteString("mutation {\n")
				for i, r := range batch {
					field(&b, i, r)
				}
				b.WriteString("}")
				if err := c.alpha.Data(t.Context(), b.String(), nil, nil); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	clients.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// backup takes one and compares what its manifest says of the collections.
func (c *manyCollections) backup(t *testing.T, kind string) {
	t.Helper()
	p := point{model: c.model.clone(), catalog: c.alpha.catalog(t)}
	c.timed(t, "back up, "+kind, func() { p.task = c.alpha.backup(t, c.destination, false) })
	c.timed(t, "list", func() {
		m := manifestOf(t, c.destination, p.task)
		if m.Type != kind || m.Groups[1] == nil || len(m.Groups[1].Collections) != len(c.model) {
			t.Fatalf("the backup is %s and lists other collections", m.Type)
		}
		for i, got := range m.Groups[1].Collections {
			want := p.catalog[i]
			records := want.Count
			if kind != "full" {
				records = 0 // nothing was put since
			}
			if got.Namespace != want.Namespace || got.Name != want.Name || got.ID != want.ID || got.Records != records {
				t.Fatalf("the manifest says %+v, the alpha %+v", got, want)
			}
		}
	})
	c.points = append(c.points, p)
}

func (c *manyCollections) restore(t *testing.T, p point) {
	t.Helper()
	moment := fmt.Sprint("restore ", p.task.BackupNum)
	var r restored
	c.timed(t, moment, func() { r = restoreBackup(t, c.destination, p.task.BackupID, int(p.task.BackupNum)) })
	a := startAlpha(t, r.dir)
	wantCatalog(t, moment, a.catalog(t), p.catalog)
	for of, want := range p.model {
		if len(want.records) > 0 {
			wantDump(t, moment, a.dump(t, of), want.records.dump())
		}
	}
	a.stop(t)
}
