package task

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brockdb/brock/backup"
)

type places []Use

func (p places) Uses() []Use { return p }

func TestWhoMayRunBesideWhom(t *testing.T) {
	at := func(location string, access Access) places { return places{{location, access}} }
	tests := []struct {
		name   string
		first  Kind
		here   places
		second Kind
		there  places
		beside bool
	}{
		{"two backups to two places", Backup, at("/a", Write), Backup, at("/b", Write), false},
		{"a restore and a backup", Restore, at("/a", Read), Backup, at("/b", Write), false},
		{"verify what a backup extends", Verify, at("/a", Read), Backup, at("/a", Write), true},
		{"back up to what is verified", Backup, at("/a", Write), Verify, at("/a", Read), true},
		{"prune what a backup extends", Backup, at("/a", Write), Prune, at("/a", Remove), false},
		{"prune what is restored", Restore, at("/a", Read), Prune, at("/a", Remove), false},
		{"prune elsewhere", Backup, at("/a", Write), Prune, at("/b", Remove), true},
		{"two verifications", Verify, at("/a", Read), Verify, at("/b", Read), false},
		{"copy to where a backup goes", Backup, at("/b", Write), Copy, places{{"/a", Read}, {"/b", Write}}, false},
		{"copy from where a backup goes", Backup, at("/a", Write), Copy, places{{"/a", Read}, {"/b", Write}}, true},
		{"of places unknown", Backup, nil, Prune, at("/a", Remove), true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := open(t, Options{Records: newDisk()})
				defer q.Close()
				for _, one := range []struct {
					kind Kind
					uses places
				}{{test.first, test.here}, {test.second, test.there}} {
					if _, err := q.Submit(t.Context(), one.kind, one.uses, untilCanceled); err != nil {
						t.Fatal(err)
					}
				}
				synctest.Wait()
				if beside := len(q.Running()) == 2; beside != test.beside {
					t.Errorf("beside each other: %v", beside)
				}
			})
		})
	}
}

// A backup that waits for a prune at its destination must not be overtaken
// for ever by verifications there, which the prune keeps waiting too.
func TestNothingIsOvertakenByWhatItWaitsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := open(t, Options{Records: newDisk()})
		defer q.Close()
		var mu sync.Mutex
		var order []string
		add := func(name string, kind Kind, uses places) {
			_, err := q.Submit(t.Context(), kind, uses, func(context.Context, *backup.Progress) (any, error) {
				mu.Lock()
				order = append(order, name)
				mu.Unlock()
				time.Sleep(time.Second)
				return nil, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		add("verify a", Verify, places{{"/a", Read}})
		add("prune a", Prune, places{{"/a", Remove}})
		add("back up to a", Backup, places{{"/a", Write}})
		add("back up to b", Backup, places{{"/b", Write}})
		add("verify c", Verify, places{{"/c", Read}})
		time.Sleep(time.Minute)
		want := []string{"verify a", "prune a", "back up to a", "verify c", "back up to b"}
		slices.Sort(want[2:4]) // these two begin together
		mu.Lock()
		defer mu.Unlock()
		if len(order) == len(want) {
			slices.Sort(order[2:4])
		}
		if !slices.Equal(order, want) {
			t.Errorf("order: %q", order)
		}
	})
}

// Random tasks: no two that exclude each other ever run together, and all run.
func TestRandomTasksKeepTheRules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(1, 2))
		q := open(t, Options{Records: newDisk(), Capacity: 1000})
		defer q.Close()
		var mu sync.Mutex
		running := make(map[*entry]bool)
		ran := 0
		for range 300 {
			kinds := []Kind{Backup, Restore, Verify, Prune, Copy}
			uses := places{{[]string{"/a", "/b", "/c"}[random.IntN(3)], Access(random.IntN(3))}}
			me := &entry{record: record{Kind: kinds[random.IntN(len(kinds))]}, uses: uses}
			duration := time.Duration(random.IntN(5)) * time.Second
			_, err := q.Submit(t.Context(), me.record.Kind, uses, func(context.Context, *backup.Progress) (any, error) {
				mu.Lock()
				for other := range running {
					if me.excludedBy([]*entry{other}) {
						t.Errorf("%s %v runs beside %s %v", me.record.Kind, me.uses, other.record.Kind, other.uses)
					}
				}
				running[me] = true
				ran++
				mu.Unlock()
				time.Sleep(duration)
				mu.Lock()
				delete(running, me)
				mu.Unlock()
				return nil, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if random.IntN(3) == 0 {
				time.Sleep(time.Second)
			}
		}
		time.Sleep(time.Hour)
		if mu.Lock(); ran != 300 {
			t.Errorf("%d of 300 ran", ran)
		}
		mu.Unlock()
	})
}
