package destinationtest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
)

func testList(t *testing.T, d destination.Destination) {
	for _, name := range []string{"b/2", "a-b", "a/z/deep", "a/y", "a.b", "c", "b/1", "B", "ä"} {
		Put(t, d, name, []byte(name))
	}
	for dir, want := range map[string][]string{
		"":         {"B", "a/", "a-b", "a.b", "b/", "c", "ä"},
		"a":        {"a/y", "a/z/"},
		"a/z":      {"a/z/deep"},
		"b":        {"b/1", "b/2"},
		"a/z/deep": nil,
	} {
		var got []string
		for _, info := range list(t, d, dir) {
			name := info.Name
			if info.Dir {
				name += "/"
			} else if info.Size != int64(len(name)) || info.Modified.IsZero() {
				t.Errorf("%s has %+v", name, info)
			}
			got = append(got, name)
		}
		wantEqual(t, got, want)
	}
}

func testListMany(t *testing.T, d destination.Destination) {
	const objects, folders, writers = 4990, 10, 16
	names := make(chan string)
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for name := range names {
				if err := put(t.Context(), d, name, destination.Exclusive, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var want []string
	for i := range objects + folders {
		name := fmt.Sprintf("many/%06d", i*7919%100_003)
		want = append(want, name)
		if i%(objects/folders) == 0 {
			name += "/object"
		}
		names <- name
	}
	close(names)
	wg.Wait()
	got := list(t, d, "many")
	seen := map[string]bool{}
	dirs := 0
	for i, info := range got {
		if i > 0 && info.Name <= got[i-1].Name {
			t.Fatalf("%s is listed after %s", info.Name, got[i-1].Name)
		}
		seen[info.Name] = true
		if info.Dir {
			dirs++
		}
	}
	for _, name := range want {
		if !seen[name] {
			t.Fatalf("%s is not listed", name)
		}
	}
	if len(got) != len(want) || dirs != folders+1 {
		t.Errorf("listed %d names, %d of them folders; want %d and %d", len(got), dirs, len(want), folders+1)
	}
}

func testListStops(t *testing.T, d destination.Destination) {
	for _, name := range []string{"a", "b", "c"} {
		Put(t, d, name, nil)
	}
	enough := errors.New("enough")
	visits := 0
	err := d.List(t.Context(), "", func(destination.Info) error {
		visits++
		if visits == 2 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || visits != 2 {
		t.Errorf("got %v after %d visits, want the visitor's error after 2", err, visits)
	}
	ctx, cancel := context.WithCancel(t.Context())
	visits = 0
	err = d.List(ctx, "", func(destination.Info) error {
		visits++
		cancel()
		return nil
	})
	wantKind(t, err, fault.Canceled)
	if visits != 1 {
		t.Errorf("%d visits, want none after the context was canceled", visits-1)
	}
}
