package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup/fault"
)

// gate lets a test hold commits back.
type gate struct {
	entered chan struct{} // receives when a commit arrives
	pass    chan error    // what the commit returns; nil lets it through
}

func gatedStore(t *testing.T) (*Store, *gate, *atomic.Bool) {
	t.Helper()
	g := &gate{make(chan struct{}), make(chan error)}
	var shut atomic.Bool
	o := testOptions(t.TempDir())
	o.commit = func(txn *badger.Txn, ts uint64) error {
		if shut.Load() {
			g.entered <- struct{}{}
			if err := <-g.pass; err != nil {
				return err
			}
		}
		return txn.CommitAt(ts, nil)
	}
	return openStore(t, o), g, &shut
}

type answer struct {
	ts  uint64
	err error
}

// proposeLater proposes on a goroutine of its own and returns when the batch is queued.
func proposeLater(ctx context.Context, s *Store, b *Batch) <-chan answer {
	s.queue.mu.Lock()
	before := len(s.queue.items)
	s.queue.mu.Unlock()
	answers := make(chan answer, 1)
	go func() {
		ts, err := s.Propose(ctx, b)
		answers <- answer{ts, err}
	}()
	for queued := before; queued == before; runtime.Gosched() {
		s.queue.mu.Lock()
		queued = len(s.queue.items)
		s.queue.mu.Unlock()
	}
	return answers
}

// hold makes the committer stop in the middle of a commit, so that what is
// proposed from now on waits together.
func hold(t *testing.T, s *Store, g *gate, shut *atomic.Bool) <-chan answer {
	t.Helper()
	shut.Store(true)
	first := make(chan answer, 1)
	go func() {
		ts, err := s.Propose(context.Background(), &Batch{Puts: []Put{{Namespace: "hold", Collection: "c", Key: "k", Value: []byte("1")}}})
		first <- answer{ts, err}
	}()
	<-g.entered
	return first
}

func onePut(collection, key, value string) *Batch {
	return &Batch{Puts: []Put{{Collection: collection, Key: key, Value: []byte(value)}}}
}

// TestGroupsShareACommit: what waits together is committed together, with one
// Badger transaction and so one fsync.
func TestGroupsShareACommit(t *testing.T) {
	s, g, shut := gatedStore(t)
	put(t, s, "c", "first", "1")
	before := s.Stats()
	first := hold(t, s, g, shut)
	const writers = 50
	var all []<-chan answer
	for i := range writers {
		all = append(all, proposeLater(context.Background(), s, onePut("c", fmt.Sprint(i), "1")))
	}
	shut.Store(false)
	g.pass <- nil
	held := <-first
	for _, answers := range all {
		if a := <-answers; a.err != nil || a.ts != held.ts+1 {
			t.Errorf("committed at %d, want %d: %v", a.ts, held.ts+1, a.err)
		}
	}
	after := s.Stats()
	if commits, groups := after.Commits-before.Commits, after.Groups-before.Groups; commits != writers+1 || groups != 2 {
		t.Errorf("%d commits went into %d groups, want %d into 2", commits, groups, writers+1)
	}
}

// TestConflictsDoNotShare: the order of dependent batches must be visible in
// their versions.
func TestConflictsDoNotShare(t *testing.T) {
	for _, c := range []struct {
		name     string
		a, b     *Batch
		together bool
	}{
		{"same record", onePut("c", "k", "1"), onePut("c", "k", "2"), false},
		{"put and remove", onePut("c", "k", "1"), &Batch{Removes: []Remove{{"", "c", "k"}}}, false},
		{"other records", onePut("c", "k", "1"), onePut("c", "l", "2"), true},
		{"same key, other collection", onePut("c", "k", "1"), onePut("d", "k", "2"), true},
		{"two that make a collection", onePut("n", "k", "1"), onePut("n", "l", "2"), false},
		{"put into what is dropped", onePut("c", "k", "1"), &Batch{Drops: []Ref{{"", "c"}}}, false},
		{"drop before put", &Batch{Drops: []Ref{{"", "c"}}}, onePut("c", "k", "1"), false},
		{"remove from what is dropped", &Batch{Removes: []Remove{{"", "c", "x"}}}, &Batch{Drops: []Ref{{"", "c"}}}, false},
		{"drops of two", &Batch{Drops: []Ref{{"", "c"}}}, &Batch{Drops: []Ref{{"", "d"}}}, true},
		{"two without key", onePut("c", "", "1"), onePut("c", "", "2"), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, g, shut := gatedStore(t)
			put(t, s, "c", "x", "1")
			put(t, s, "d", "x", "1")
			first := hold(t, s, g, shut)
			as := proposeLater(context.Background(), s, c.a)
			bs := proposeLater(context.Background(), s, c.b)
			shut.Store(false)
			g.pass <- nil
			<-first
			a, b := <-as, <-bs
			if a.err != nil || b.err != nil {
				t.Fatal(a.err, b.err)
			}
			if (a.ts == b.ts) != c.together || b.ts < a.ts {
				t.Errorf("committed at %d and %d", a.ts, b.ts)
			}
		})
	}
}

// TestGroupIsBounded: more than fits goes into the next group, in order.
func TestGroupIsBounded(t *testing.T) {
	s, g, shut := gatedStore(t)
	put(t, s, "c", "first", "1")
	first := hold(t, s, g, shut)
	half := int(s.committer.maxSmall * 2 / 5)
	var all []<-chan answer
	for i := range 5 {
		all = append(all, proposeLater(context.Background(), s, onePut("c", fmt.Sprint(i), string(bigValue(half)))))
	}
	shut.Store(false)
	g.pass <- nil
	check := func(base uint64) {
		t.Helper()
		for i, answers := range all {
			if a := <-answers; a.err != nil || a.ts != base+1+uint64(i/2) {
				t.Errorf("batch %d committed at %d, want %d: %v", i, a.ts, base+1+uint64(i/2), a.err)
			}
		}
		all = nil
	}
	check((<-first).ts)

	// Large values cost the log little; their bytes are bounded all the same.
	first = hold(t, s, g, shut)
	s.committer.maxTotal = 1000
	for i := range 5 {
		all = append(all, proposeLater(context.Background(), s, onePut("c", fmt.Sprint(i), string(bigValue(400)))))
	}
	shut.Store(false)
	g.pass <- nil
	check((<-first).ts)
}

// TestRefusedHarmsNobody: a batch that is refused in the committer does not
// touch those it waited with.
func TestRefusedHarmsNobody(t *testing.T) {
	s, g, shut := gatedStore(t)
	put(t, s, "c", "first", "1")
	first := hold(t, s, g, shut)
	good := proposeLater(context.Background(), s, onePut("c", "a", "1"))
	bad := proposeLater(context.Background(), s, &Batch{
		Creates: []Create{{Collection: "half"}},
		Puts:    []Put{{Collection: "c", Key: "", Value: []byte("1")}},
		Removes: []Remove{{"", "unknown", "k"}},
	})
	uid := &Batch{Puts: []Put{{Collection: "c", Value: []byte("2")}}}
	also := proposeLater(context.Background(), s, uid)
	shut.Store(false)
	g.pass <- nil
	<-first
	wantKind(t, (<-bad).err, fault.NotFound)
	if a, b := <-good, <-also; a.err != nil || b.err != nil || a.ts != b.ts {
		t.Errorf("the good ones: %+v, %+v", a, b)
	}
	if got := now(t, s, "c"); !maps.Equal(got, map[string]string{"first": "1", "a": "1", "0x1": "2"}) {
		t.Errorf("got %v", got)
	}
	wantKind(t, func() error { _, err := openView(t, s).Lookup("", "half"); return err }(), fault.NotFound)
}

func TestCancel(t *testing.T) {
	s, g, shut := gatedStore(t)
	ctx, cancel := context.WithCancelCause(context.Background())
	first := hold(t, s, g, shut)

	// Waiting: gives up at once and is not applied.
	reason := errors.New("the client went away")
	waits := proposeLater(ctx, s, onePut("c", "waits", "1"))
	cancel(reason)
	if a := <-waits; !fault.Is(a.err, fault.Canceled) || !errors.Is(a.err, reason) {
		t.Errorf("a waiting batch: %+v", a)
	}
	_, err := s.Propose(ctx, onePut("c", "done before", "1"))
	wantKind(t, err, fault.Canceled)

	// Begun: the outcome is reported.
	ctx, cancel = context.WithCancelCause(context.Background())
	next := proposeLater(ctx, s, onePut("c", "begun", "1"))
	g.pass <- nil
	if a := <-first; a.err != nil {
		t.Fatal(a.err)
	}
	<-g.entered
	cancel(reason)
	shut.Store(false)
	g.pass <- nil
	if a := <-next; a.err != nil || a.ts != s.MaxTs() {
		t.Errorf("a batch whose commit had begun: %+v", a)
	}
	if got := now(t, s, "c"); !maps.Equal(got, map[string]string{"begun": "1"}) {
		t.Errorf("got %v", got)
	}
}

// TestManyClients: of 60 that create the same collection one succeeds; of 60
// that put into a collection that none has created all do.
func TestManyClients(t *testing.T) {
	s := newStore(t)
	const clients = 60
	var created, existed atomic.Int64
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			switch _, err := s.Propose(context.Background(), &Batch{Creates: []Create{{Collection: "one"}}}); {
			case err == nil:
				created.Add(1)
			case fault.Is(err, fault.Exists):
				existed.Add(1)
			default:
				t.Error(err)
			}
			b := onePut("two", fmt.Sprint(i), fmt.Sprint(i))
			b.Puts = append(b.Puts, Put{Collection: "two", Value: []byte(`"uid"`)})
			if _, err := s.Propose(context.Background(), b); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if created.Load() != 1 || existed.Load() != clients-1 {
		t.Errorf("%d created it, %d found it there", created.Load(), existed.Load())
	}
	if got := now(t, s, "two"); len(got) != 2*clients || s.MaxUID() != clients {
		t.Errorf("%d records, want %d; uid %d", len(got), 2*clients, s.MaxUID())
	}
	all, err := openView(t, s).Collections("")
	if err != nil || len(all) != 2 || all[0].ID == all[1].ID {
		t.Errorf("collections %v: %v", all, err)
	}
}

// TestAtomicToReaders: no view ever sees a part of a batch.
func TestAtomicToReaders(t *testing.T) {
	s := newStore(t)
	const accounts, rounds = 10, 60
	b := &Batch{}
	for i := range accounts {
		b.Puts = append(b.Puts, Put{Collection: "c", Key: fmt.Sprint(i), Value: []byte("0")})
	}
	propose(t, s, b)
	var writers, readers sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				v, err := s.View()
				if err != nil {
					t.Error(err)
					return
				}
				values := map[string]int{}
				for _, value := range contents(t, v, "", "c") {
					values[value]++
				}
				v.Close()
				if len(values) != 1 {
					t.Errorf("a view sees parts of batches: %v", values)
					return
				}
			}
		})
	}
	for w := range 4 {
		writers.Go(func() {
			for r := range rounds {
				b := &Batch{}
				for i := range accounts {
					b.Puts = append(b.Puts, Put{Collection: "c", Key: fmt.Sprint(i), Value: fmt.Append(nil, w*rounds+r+1)})
				}
				if _, err := s.Propose(context.Background(), b); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
}

func TestUIDs(t *testing.T) {
	o := testOptions(t.TempDir())
	s := openStore(t, o)
	keys := func(puts ...Put) string {
		b := &Batch{Puts: puts}
		propose(t, s, b)
		var got []string
		for _, p := range b.Puts {
			got = append(got, p.Key)
		}
		return strings.Join(got, " ")
	}
	fresh := func(collection string) Put { return Put{Collection: collection, Value: []byte("1")} }
	named := func(collection, key string) Put { return Put{Collection: collection, Key: key, Value: []byte("1")} }
	steps := []struct {
		puts []Put
		want string
		max  uint64
	}{
		{[]Put{fresh("c"), fresh("c"), fresh("d")}, "0x1 0x2 0x3", 3},
		{[]Put{named("c", "0x4"), named("c", "0x6")}, "0x4 0x6", 3},            // explicit keys are the user's
		{[]Put{fresh("c"), fresh("c")}, "0x5 0x7", 7},                          // and are skipped
		{[]Put{fresh("c"), named("c", "0x8"), fresh("c")}, "0x9 0x8 0xa", 0xa}, // in the same batch, too
		{[]Put{named("d", "0xb"), fresh("c")}, "0xb 0xb", 0xb},                 // in another collection they do not count
		{[]Put{named("new", "0xc"), fresh("new")}, "0xc 0xd", 0xd},
	}
	for i, step := range steps {
		if i == 3 {
			closeStore(t, s)
			s = openStore(t, o)
		}
		if got := keys(step.puts...); got != step.want || s.MaxUID() != step.max {
			t.Errorf("step %d: got keys %s up to %d, want %s up to %d", i, got, s.MaxUID(), step.want, step.max)
		}
	}
	// A uid is not given again when its record is gone.
	remove(t, s, "c", "0x9", "0xa", "0xb")
	closeStore(t, s)
	s = openStore(t, o)
	if got := keys(fresh("c")); got != "0xe" {
		t.Errorf("after removing, got %s", got)
	}
	// A refused batch uses none up, and gets no keys.
	b := &Batch{Puts: []Put{fresh("c")}, Removes: []Remove{{"", "unknown", "k"}}}
	if _, err := s.Propose(context.Background(), b); err == nil || b.Puts[0].Key != "" {
		t.Errorf("got %v and key %q", err, b.Puts[0].Key)
	}
	if got := keys(fresh("c")); got != "0xf" {
		t.Errorf("after a refused batch, got %s", got)
	}
}
