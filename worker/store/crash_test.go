package store

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/brockdb/brock/systest/leaks"
)

const (
	crashDirEnv  = "BROCK_STORE_CRASH_DIR"
	crashWriters = 8
	crashWindow  = 3 // batches of a writer whose records are there
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDirEnv); dir != "" {
		if err := crashChild(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if dir := os.Getenv(diskDirEnv); dir != "" {
		if err := diskChild(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(leaks.Run(m))
}

// crashBatch is batch n of a writer: three records, one of them large every
// sixteenth time; the writer's head; and the removal of an older batch.
func crashBatch(writer string, n int) *Batch {
	b := &Batch{Puts: []Put{{Collection: "heads", Key: writer, Value: fmt.Append(nil, n)}}}
	for part := range 3 {
		value := fmt.Append(nil, n)
		if n%16 == 0 && part == 1 {
			value = bigValue(valueThreshold + n)
		}
		b.Puts = append(b.Puts, Put{Collection: "c" + writer, Key: fmt.Sprintf("%d/%d", n, part), Value: value})
		if n >= crashWindow {
			b.Removes = append(b.Removes, Remove{Collection: "c" + writer, Key: fmt.Sprintf("%d/%d", n-crashWindow, part)})
		}
	}
	return b
}

// crashChild writes until it is killed, and says on standard output what was
// acknowledged. Beside the writers, collections come and go.
func crashChild(dir string) error {
	o := testOptions(dir)
	s, err := Open(o)
	if err != nil {
		return err
	}
	heads, err := crashHeads(s)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	say := func(writer string, n int, ts uint64) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Printf("%s %d %d\n", writer, n, ts)
	}
	failed := make(chan error)
	for w := range crashWriters {
		writer := strconv.Itoa(w)
		go func() {
			for n := heads[writer] + 1; ; n++ {
				ts, err := s.Propose(context.Background(), crashBatch(writer, n))
				if err != nil {
					failed <- err
					return
				}
				say(writer, n, ts)
			}
		}()
	}
	go func() {
		for {
			name := "passing" + strconv.FormatUint(s.MaxTs(), 10)
			_, err := s.Propose(context.Background(), onePut(name, "k", "1"))
			if err == nil {
				_, err = s.Propose(context.Background(), &Batch{Drops: []Ref{{"", name}}})
			}
			if err != nil {
				failed <- err
				return
			}
		}
	}()
	return <-failed
}

// crashHeads returns the newest batch of every writer, as the store has it.
func crashHeads(s *Store) (map[string]int, error) {
	heads := map[string]int{}
	v, err := s.View()
	if err != nil {
		return nil, err
	}
	defer v.Close()
	if _, err := v.Lookup("", "heads"); err != nil {
		return heads, nil
	}
	return heads, v.Scan(context.Background(), "", "heads", ScanOptions{}, func(key string, value []byte, _ uint64) error {
		heads[key], err = strconv.Atoi(string(value))
		return err
	})
}

// TestKill kills a process that writes with all its might, again and again, and
// checks each time that the store holds every acknowledged batch whole, and of
// no other batch a part.
func TestKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	acknowledged := map[string]int{}
	var maxTs uint64
	total := 0
	for round := range 5 {
		child := exec.Command(os.Args[0], "-test.run=^$")
		child.Env = append(os.Environ(), crashDirEnv+"="+dir)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for first := true; lines.Scan(); first = false {
			if first {
				time.AfterFunc(time.Duration(100+rand.IntN(250))*time.Millisecond, func() { _ = child.Process.Kill() })
			}
			var writer string
			var n int
			var ts uint64
			if _, err := fmt.Sscan(lines.Text(), &writer, &n, &ts); err != nil {
				break // the line in which it was killed
			}
			acknowledged[writer] = n
			maxTs = max(maxTs, ts)
			total++
		}
		if err := child.Wait(); err == nil {
			t.Fatal("the child ended by itself")
		}
		checkCrashed(t, dir, round, acknowledged, maxTs)
	}
	if total < 50 {
		t.Errorf("only %d batches in all: the test shows little", total)
	}
}

func checkCrashed(t *testing.T, dir string, round int, acknowledged map[string]int, maxTs uint64) {
	t.Helper()
	o := testOptions(dir)
	s := openStore(t, o)
	defer closeStore(t, s)
	if s.MaxTs() < maxTs {
		t.Errorf("round %d: the store stands at %d, but %d was acknowledged", round, s.MaxTs(), maxTs)
	}
	heads, err := crashHeads(s)
	if err != nil {
		t.Fatal(err)
	}
	for writer, want := range acknowledged {
		if head := heads[writer]; head != want && head != want+1 {
			t.Errorf("round %d: writer %s stands at %d, acknowledged was %d", round, writer, head, want)
		}
	}
	// The next child goes on from here: what is stored now must stay, whether
	// or not the killed child could say so.
	maps.Copy(acknowledged, heads)
	for writer, head := range heads {
		got := now(t, s, "c"+writer)
		for n := max(1, head-crashWindow+1); n <= head; n++ {
			for _, p := range crashBatch(writer, n).Puts[1:] {
				if got[p.Key] != string(p.Value) {
					t.Errorf("round %d: batch %d of writer %s is not whole: record %s has %d bytes", round, n, writer, p.Key, len(got[p.Key]))
				}
				delete(got, p.Key)
			}
		}
		if len(got) > 0 {
			t.Errorf("round %d: writer %s at %d has %d records too many", round, writer, head, len(got))
		}
	}
}
