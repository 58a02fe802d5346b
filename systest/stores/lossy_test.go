package stores

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/backuptest"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/ee"
	"github.com/brockdb/brock/restore"
	"github.com/brockdb/brock/systest/servers"
)

// fill writes bytes that do not compress, so that objects have several parts.
func fill(db *backuptest.DB, round int, bytes int) {
	const value = 16 << 10
	random := rand.NewPCG(1, uint64(round))
	for i := range bytes / value {
		text := make([]byte, value)
		for j := 0; j < len(text); j += 8 {
			x := random.Uint64()
			for k := range 8 {
				text[j+k] = byte(x >> (8 * k))
			}
		}
		db.Set(fmt.Sprintf("%02d/%05d", round, i), backuptest.Entry{Value: string(text)})
	}
}

// wantRestored restores the newest backup and compares it with the model.
func wantRestored(t *testing.T, d destination.Destination, key ee.Key, want backuptest.State) {
	t.Helper()
	r := &restore.Restore{Source: d, Dir: t.TempDir(), Keys: ring(key)}
	res, err := r.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	backuptest.Equal(t, "restored", backuptest.ReadDir(t, res.Dirs[0]), want)
}

func ring(key ee.Key) ee.KeyRing {
	if key.IsZero() {
		return ee.KeyRing{}
	}
	return ee.NewKeyRing(key)
}

// TestLossyS3 backs up to MinIO, verifies and restores over a line on which
// every third request meets some trouble.
func TestLossyS3(t *testing.T) {
	s := startMinIO(t)
	proxy := servers.StartProxy(t, s.address)
	random := rand.New(rand.NewPCG(7, 7))
	faults := []servers.Fault{servers.Delay, servers.Busy, servers.Broken, servers.CutRequest, servers.CutResponse, servers.LostAnswer}
	proxy.Do(func(*http.Request) servers.Fault {
		if random.IntN(3) > 0 {
			return servers.None
		}
		return faults[random.IntN(len(faults))]
	})
	count := new(counter)
	d := s.open(t, proxy.Address, "lossy", destination.Options{Retry: impatient, PartBytes: 5 << 20, Observer: count})
	key := backuptest.Key(t, 32)
	db := backuptest.New(t, false, nil)
	for round := range 2 {
		fill(db, round, 14<<20)
		db.Delete("00/00003")
		db.Backup(d, func(b *backup.Backup) { b.Key, b.Workers = key, 2 })
	}
	v := &restore.Verify{Source: d, Level: restore.Every, Keys: ring(key)}
	if report, err := v.Run(t.Context()); err != nil {
		t.Fatalf("%+v, %v", report, err)
	}
	wantRestored(t, d, key, db.Model)
	for _, f := range faults {
		if proxy.Done(f) == 0 {
			t.Errorf("fault %d never happened", f)
		}
	}
	if count.retries == 0 {
		t.Error("nothing was retried")
	}
	// What stands there is what a straight connection sees.
	wantRestored(t, s.open(t, s.address, "lossy", destination.Options{}), key, db.Model)
	for _, upload := range s.uploads(t) {
		t.Errorf("an incomplete upload is left: %s", upload)
	}
}

// TestLostCommits loses the answer to every request that makes an object visible,
// the first time: no backup may be refused or made twice because of that.
func TestLostCommits(t *testing.T) {
	s := startMinIO(t)
	proxy := servers.StartProxy(t, s.address)
	lost := map[string]bool{}
	proxy.Do(func(r *http.Request) servers.Fault {
		q := r.URL.Query()
		visible := r.Method == http.MethodPut && !q.Has("partNumber") || r.Method == http.MethodPost && q.Has("uploadId")
		if !visible || lost[r.URL.Path] {
			return servers.None
		}
		lost[r.URL.Path] = true
		return servers.LostAnswer
	})
	d := s.open(t, proxy.Address, "lost", destination.Options{Retry: impatient, PartBytes: 5 << 20})
	db := backuptest.New(t, false, nil)
	fill(db, 0, 7<<20)
	m := db.Backup(d, func(b *backup.Backup) { b.Workers = 1 })
	if proxy.Done(servers.LostAnswer) < 4 { // lease, part, part list, manifest
		t.Errorf("only %d answers were lost", proxy.Done(servers.LostAnswer))
	}
	listing, err := backup.List(t.Context(), d)
	if err != nil || len(listing.Series) != 1 || len(listing.Series[0].Members) != 1 || listing.Series[0].Members[0].Path != m.Path {
		t.Errorf("listed %+v, %v", listing, err)
	}
	wantRestored(t, d, ee.Key{}, db.Model)
}

// notices collects what a destination tells.
type notices struct {
	mu    sync.Mutex
	texts []string
}

func (n *notices) add(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.texts = append(n.texts, text)
}

func (n *notices) say(text string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Contains(strings.Join(n.texts, "\n"), text)
}

// TestStalledS3 lets connections go silent, of every kind of request once: the
// backup notices, says so, and comes out right.
func TestStalledS3(t *testing.T) {
	s := startMinIO(t)
	proxy := servers.StartProxy(t, s.address)
	stalled := map[string]bool{}
	proxy.Do(func(r *http.Request) servers.Fault {
		kind := r.Method
		if r.Method == http.MethodPut && r.URL.Query().Has("partNumber") {
			kind = "part"
		}
		if stalled[kind] {
			return servers.None
		}
		stalled[kind] = true
		return servers.Stall
	})
	const after = 500 * time.Millisecond
	d := s.open(t, proxy.Address, "stalled", destination.Options{Retry: impatient, PartBytes: 5 << 20, StallTimeout: after})
	db := backuptest.New(t, false, nil)
	fill(db, 0, 7<<20)
	told := new(notices)
	b := db.Job(d, func(b *backup.Backup) { b.Workers = 1 })
	if _, err := b.Run(destination.WithNotice(t.Context(), told.add)); err != nil {
		t.Fatal(err)
	}
	if !stalled["part"] || !stalled[http.MethodPut] || !stalled[http.MethodGet] {
		t.Errorf("stalled %v", stalled)
	}
	if !told.say("stalls: nothing has moved for 500ms") || !told.say("attempt 1 of 20") {
		t.Errorf("told %q", told.texts)
	}
	wantRestored(t, d, ee.Key{}, db.Model)
}

// TestCancelStalledS3 cancels a backup whose storage has gone silent: it ends
// soon, long before the stall would be noticed, and nothing of it stays.
func TestCancelStalledS3(t *testing.T) {
	s := startMinIO(t)
	proxy := servers.StartProxy(t, s.address)
	silent := make(chan struct{})
	var once sync.Once
	proxy.Do(func(r *http.Request) servers.Fault {
		if r.Method == http.MethodPut && r.URL.Query().Has("partNumber") {
			once.Do(func() { close(silent) })
			return servers.Stall
		}
		return servers.None
	})
	d := s.open(t, proxy.Address, "canceled", destination.Options{PartBytes: 5 << 20, StallTimeout: time.Hour})
	db := backuptest.New(t, false, nil)
	fill(db, 0, 12<<20)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := db.Job(d, func(b *backup.Backup) { b.Workers = 1 }).Run(ctx)
		ended <- err
	}()
	<-silent
	cancel()
	select {
	case err := <-ended:
		if !fault.Is(err, fault.Canceled) && !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the canceled backup did not end")
	}
	for _, upload := range s.uploads(t) {
		t.Errorf("an incomplete upload is left: %s", upload)
	}
	if listing, err := backup.List(t.Context(), d); err != nil || len(listing.Series) != 0 {
		t.Errorf("listed %+v, %v", listing, err)
	}
}
