package stores

import (
	"fmt"
	"net/http"
	"path"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/backuptest"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/destination/destinationtest"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/ee"
	"github.com/brockdb/brock/restore"
	"github.com/brockdb/brock/systest/servers"
)

// proxied is a store behind a proxy.
type proxied struct {
	*servers.Proxy
	open  opener
	kinds int                         // of requests that there are, at least
	left  func(t testing.TB) []string // uploads that are not complete; nil where there is no list of them
}

// everyProxied calls test with a store of each provider behind a proxy.
func everyProxied(t *testing.T, test func(t *testing.T, p proxied)) {
	t.Run("MinIO", func(t *testing.T) {
		s := startMinIO(t)
		proxy := servers.StartProxy(t, s.address)
		test(t, proxied{proxy, s.at(proxy.Address), 22, s.uploads})
	})
	t.Run("GCS", func(t *testing.T) {
		server := servers.StartGCS(t)
		makeGCSBucket(t, server)
		proxy := servers.StartGCSProxy(t, server.Address)
		t.Setenv("STORAGE_EMULATOR_HOST", proxy.Address)
		test(t, proxied{proxy, atURI("gs://" + bucket + "/"), 14, nil})
	})
	t.Run("Azurite", func(t *testing.T) {
		server := servers.StartAzurite(t)
		makeContainer(t, server)
		proxy := servers.StartProxy(t, server.Address)
		t.Setenv("AZURE_STORAGE_CONNECTION_STRING", strings.Replace(server.ConnectionString(), server.Address, proxy.Address, 1))
		test(t, proxied{proxy, atURI("azblob://" + bucket + "/"), 18, nil})
	})
}

var (
	random  = regexp.MustCompile(`[0-9A-Z]{26}`) // of marks and leases
	numbers = regexp.MustCompile(`[0-9]+`)
)

// kindOf names what a request does: its method, the kind of its object, and the
// names of its parameters.
func kindOf(r *http.Request) string {
	object := path.Base(r.URL.Path)
	if name := r.URL.Query().Get("name"); name != "" { // of an upload to GCS
		object = path.Base(name)
	}
	kind := r.Method + " " + numbers.ReplaceAllString(random.ReplaceAllString(object, "ID"), "N")
	for _, key := range []string{"uploads", "uploadId", "partNumber", "list-type", "comp", "uploadType", "upload_id", "prefix", "alt"} {
		if r.URL.Query().Has(key) {
			kind += " " + key + "=" + map[bool]string{true: r.URL.Query().Get(key)}[key == "comp" || key == "uploadType"]
		}
	}
	return kind
}

// everything takes a full backup and an incremental, verifies and restores them.
func everything(t *testing.T, d destination.Destination, db *backuptest.DB) {
	t.Helper()
	key := backuptest.Key(t, 32)
	for round := range 2 {
		fill(db, 10+round, []int{6 << 20, 200 << 10}[round]) // the first has a part that is uploaded in two
		db.Delete("10/00003")
		db.Backup(d, func(b *backup.Backup) { b.Key, b.Workers, b.ForceFull = key, 1, round == 0 })
	}
	if report, err := (&restore.Verify{Source: d, Level: restore.Every, Keys: ring(key)}).Run(t.Context()); err != nil {
		t.Fatalf("%+v, %v", report, err)
	}
	wantRestored(t, d, key, db.Model)
}

// TestEachKindOfRequestFails makes the first request of each kind fail, in each
// way, in the course of a full backup, an incremental, a verification and a
// restore: all of them come out right.
func TestEachKindOfRequestFails(t *testing.T) {
	everyProxied(t, func(t *testing.T, p proxied) {
		kinds := map[string]bool{}
		for name, f := range map[string]servers.Fault{
			"503": servers.Busy, "500": servers.Broken, "request cut": servers.CutRequest, "answer cut": servers.CutResponse, "answer lost": servers.LostAnswer,
		} {
			met := map[string]bool{}
			p.Do(func(r *http.Request) servers.Fault {
				kind := kindOf(r)
				kinds[kind] = true
				if met[kind] {
					return servers.None
				}
				met[kind] = true
				if f == servers.LostAnswer && strings.Contains(kind, "upload_id") {
					return servers.None // fake-gcs-server appends a chunk that comes twice, unlike Google
				}
				return f
			})
			d := p.open(t, strings.ReplaceAll(name, " ", "-"), destination.Options{Retry: impatient, PartBytes: 5 << 20})
			everything(t, d, backuptest.New(t, false, nil))
			if t.Failed() {
				t.Fatalf("with %s", name)
			}
		}
		t.Logf("%d kinds of requests", len(kinds))
		for kind := range kinds {
			t.Log(kind)
		}
		if len(kinds) < p.kinds {
			t.Errorf("there were %d at least", p.kinds)
		}
		if p.left != nil {
			if left := p.left(t); len(left) > 0 {
				t.Errorf("incomplete uploads: %q", left)
			}
		}
	})
}

// TestChunkStoredTwice loses the answer to a chunk of an upload to a server that
// takes it once more: what it has stored then is not what was sent, which is
// noticed before it counts as stored.
func TestChunkStoredTwice(t *testing.T) {
	server := servers.StartGCS(t)
	makeGCSBucket(t, server)
	proxy := servers.StartGCSProxy(t, server.Address)
	t.Setenv("STORAGE_EMULATOR_HOST", proxy.Address)
	lost := false
	proxy.Do(func(r *http.Request) servers.Fault {
		if lost || !r.URL.Query().Has("upload_id") {
			return servers.None
		}
		lost = true
		return servers.LostAnswer
	})
	d := atURI("gs://"+bucket+"/")(t, "twice", destination.Options{Retry: impatient, PartBytes: 5 << 20})
	db := backuptest.New(t, false, nil)
	fill(db, 0, 6<<20)
	_, err := db.Job(d, func(b *backup.Backup) { b.Workers = 1 }).Run(t.Context())
	if !lost || !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "were sent") {
		t.Errorf("%t, %v", lost, err)
	}
	wantSeries(t, d, 0)
	db.Backup(d, func(b *backup.Backup) { b.Workers = 1 })
	wantSeries(t, d, 1)
	wantRestored(t, d, ee.Key{}, db.Model)
}

// TestStoreGoesAway has every request of a backup fail from the n-th on, for
// longer than it is tried again. The backup fails and names the place, or it is
// stored; nothing else is seen of it, and the next one is sound and tidies up.
func TestStoreGoesAway(t *testing.T) {
	everyProxied(t, func(t *testing.T, p proxied) {
		const step = 8
		db := backuptest.New(t, false, nil)
		fill(db, 0, 6<<20)
		options := destination.Options{Retry: destination.Retry{Attempts: 2, MinDelay: time.Millisecond, MaxDelay: time.Millisecond}, PartBytes: 5 << 20}
		for n, done := 1, false; !done; n += step {
			d := p.open(t, fmt.Sprint("away-", n), options)
			var mu sync.Mutex
			seen := 0
			p.Do(func(*http.Request) servers.Fault {
				mu.Lock()
				defer mu.Unlock()
				if seen++; seen >= n {
					return []servers.Fault{servers.Busy, servers.CutRequest, servers.LostAnswer}[n/step%3]
				}
				return servers.None
			})
			m, err := db.Job(d, func(b *backup.Backup) { b.Workers, b.ForceFull = 1, true }).Run(t.Context())
			p.Do(func(*http.Request) servers.Fault { return servers.None })
			done = err == nil
			members := 0
			switch {
			case err != nil && m == nil && (!fault.Is(err, fault.Unavailable) && !fault.Is(err, fault.Locked) || !strings.Contains(err.Error(), bucket) || fault.HintOf(err) == ""):
				t.Errorf("request %d: an error of kind %v: %v (hint: %q)", n, fault.KindOf(err), err, fault.HintOf(err))
			case m != nil:
				members = 1
			}
			listing, err := backup.List(t.Context(), d)
			if err != nil || len(listing.Series) < members || len(listing.Series) > 1 || len(listing.Damaged) > 0 {
				t.Fatalf("request %d: listed %+v, %v", n, listing, err)
			}
			members = len(listing.Series) // a manifest whose answer was lost may be there
			for _, name := range destinationtest.Names(t, d, "brock.lease") {
				if err := d.Remove(t.Context(), name); err != nil { // this does not wait until it expires
					t.Fatal(err)
				}
			}
			db.Backup(d, func(b *backup.Backup) { b.Workers, b.ForceFull = 1, true })
			wantSeries(t, d, members+1)
			wantRestored(t, d, ee.Key{}, db.Model)
			if p.left != nil {
				if left := p.left(t); len(left) > 0 {
					t.Errorf("request %d: incomplete uploads: %q", n, left)
				}
			}
			if t.Failed() {
				t.FailNow()
			}
		}
	})
}
