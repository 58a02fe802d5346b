package stores

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/backuptest"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/manifest"
	"github.com/brockdb/brock/ee"
	"github.com/brockdb/brock/restore"
)

var update = flag.Bool("update", false, "write the table of requests into docs/performance.md")

// cost is what one operation takes in requests.
type cost struct {
	name string
	n    map[string]int
}

// row is its line in the table of docs/performance.md.
func (c cost) row() string {
	row := "| " + c.name
	for _, op := range []string{"PUT", "POST", "GET", "LIST", "HEAD", "DELETE"} {
		row += fmt.Sprintf(" | %d", c.n[op])
	}
	return row + " |"
}

// TestRequests counts the requests of backups, listings, verifications and
// restores: they grow with the bytes, not with records or chunks, and they are
// what docs/performance.md says.
func TestRequests(t *testing.T) {
	s := startMinIO(t)
	count := new(counter)
	slow := false // then leases are renewed, which counts as well
	at := func(prefix string) destination.Destination {
		return s.open(t, s.address, prefix, destination.Options{Observer: count, PartBytes: 8 << 20})
	}
	var table []cost
	measure := func(name string, do func() error) map[string]int {
		t.Helper()
		count.take()
		begun := time.Now()
		if err := do(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		slow = slow || time.Since(begun) > 15*time.Second
		c := cost{name, count.take()}
		table = append(table, c)
		return c.n
	}
	back := func(db *backuptest.DB, d destination.Destination, chunk int) func() error {
		return func() error {
			_, err := db.Job(d, func(b *backup.Backup) { b.Workers, b.ChunkBytes = 1, chunk }).Run(t.Context())
			return err
		}
	}
	few, many, large := backuptest.New(t, false, nil), backuptest.New(t, false, nil), backuptest.New(t, false, nil)
	for i := range 20 {
		few.Set(fmt.Sprint(i), backuptest.Entry{Value: strings.Repeat("v", 5000)})
	}
	for i := range 5000 {
		many.Set(fmt.Sprintf("%08d", i), backuptest.Entry{Value: fmt.Sprintf("%020d", i)})
	}
	fill(large, 0, 40<<20)

	small := measure("full, 20 records, 100 kB", back(few, at("few"), 1<<20))
	records := measure("full, 5,000 records, 100 kB, one chunk", back(many, at("many"), 1<<20))
	chunks := measure("full, 5,000 records, 100 kB, 60 chunks", back(many, at("chunks"), 4<<10))
	parts := measure("full, 40 MiB, 5 parts of an upload", back(large, at("large"), 1<<20))
	many.Set("one more", backuptest.Entry{Value: "v"})
	measure("incremental of it, 1 record", back(many, at("many"), 1<<20))
	read := func(name, prefix string) map[string]int {
		d := at(prefix)
		measure("list "+name, func() error { _, err := backup.List(t.Context(), d); return err })
		measure("verify full "+name, func() error {
			_, err := (&restore.Verify{Source: d, Level: restore.Every, Keys: ee.KeyRing{}, Workers: 2}).Run(t.Context())
			return err
		})
		return measure("restore "+name, func() error {
			_, err := (&restore.Restore{Source: d, Dir: t.TempDir(), Workers: 2}).Run(t.Context())
			return err
		})
	}
	restoredFew := read("20 records", "few")
	restoredChunks := read("60 chunks", "chunks")
	restoredLarge := read("40 MiB", "large")

	if slow || count.retries > 0 {
		t.Logf("this machine is too slow to count on: %d retries", count.retries)
		return
	}
	if !maps.Equal(small, records) || !maps.Equal(records, chunks) {
		t.Errorf("the requests of a backup grow with records or chunks: %v, %v, %v", small, records, chunks)
	}
	// One request begins an upload in parts and one ends it, instead of one PUT.
	if got, want := parts["PUT"]-small["PUT"], 5-1; got < want || got > want+1 || parts["POST"] != 2 {
		t.Errorf("40 MiB take %v, 100 kB %v: that is not a request for each part of 8 MiB", parts, small)
	}
	if !maps.Equal(restoredFew, restoredChunks) {
		t.Errorf("the requests of a restore grow with chunks: %v, %v", restoredFew, restoredChunks)
	}
	if restoredLarge["GET"] > restoredFew["GET"]+20 {
		t.Errorf("restoring 40 MiB takes %v, 100 kB %v", restoredLarge, restoredFew)
	}
	wantTable(t, table)
}

// wantTable compares with the table of the documentation, or writes it.
func wantTable(t *testing.T, table []cost) {
	t.Helper()
	const begin, end = "<!-- requests: go test ./systest/stores -run TestRequests -update -->\n", "<!-- end -->\n"
	file := filepath.Join("..", "..", "docs", "performance.md")
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, found := strings.Cut(string(page), begin)
	old, tail, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatal("docs/performance.md has no table of requests")
	}
	fresh := "\n| | PUT | POST | GET | LIST | HEAD | DELETE |\n|---|---|---|---|---|---|---|\n"
	for _, c := range table {
		fresh += c.row() + "\n"
	}
	fresh += "\n"
	if *update {
		if err := os.WriteFile(file, []byte(head+begin+fresh+end+tail), 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	if old != fresh {
		t.Errorf("docs/performance.md says:\n%s\nand it is:\n%s", old, fresh)
	}
}

// manifests is a store that has nothing but manifests, in memory.
type manifests struct {
	destination.Destination
	text map[string][]byte // by folder
}

func (m *manifests) List(_ context.Context, dir string, visit func(destination.Info) error) error {
	if dir != "" {
		return fmt.Errorf("%s is listed", dir)
	}
	for _, folder := range slices.Sorted(maps.Keys(m.text)) {
		if err := visit(destination.Info{Name: folder, Dir: true}); err != nil {
			return err
		}
	}
	return nil
}

func (m *manifests) Open(_ context.Context, name string, _, _ int64) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(m.text[path.Dir(name)])), nil
}

// TestListManyBackups lists 10,000 backups: one listing, and one read of each
// manifest, many of them at the same time. An object store lists 1,000 names
// with a request.
func TestListManyBackups(t *testing.T) {
	const backups, together = 10_000, 16
	dir := backuptest.OpenDir(t, t.TempDir())
	db := backuptest.New(t, false, nil)
	db.Set("k", backuptest.Entry{Value: "v"})
	m := db.Backup(dir, nil)
	store := &manifests{dir, map[string][]byte{}}
	for i := range backups {
		other := *m
		other.CreatedAt = m.CreatedAt.Add(time.Duration(i) * time.Minute)
		other.FinishedAt = other.CreatedAt
		other.BackupID, other.Path = fmt.Sprintf("%012x", i), manifest.FolderName(other.CreatedAt)
		text, err := other.Encode(ee.Key{})
		if err != nil {
			t.Fatal(err)
		}
		store.text[other.Path] = text
	}
	count := new(counter)
	// The first readers wait for each other.
	var arrived atomic.Int64
	all := make(chan struct{})
	hook := &backuptest.Hook{Destination: destination.Observed(store, "memory", count), BeforeOpen: func(string) {
		n := arrived.Add(1)
		if n == together {
			close(all)
		}
		if n > together {
			return
		}
		select {
		case <-all:
		case <-time.After(time.Minute):
			t.Error("manifests are read one after the other")
		}
	}}
	listing, err := backup.List(t.Context(), hook)
	if err != nil || len(listing.Series) != backups || len(listing.Damaged)+len(listing.Unfinished) > 0 {
		t.Fatalf("%d series, %d damaged, %d unfinished, %v", len(listing.Series), len(listing.Damaged), len(listing.Unfinished), err)
	}
	want := map[string]int{"list": 1, "open": backups, "read": backups}
	if got := count.takeCalls(); !maps.Equal(got, want) {
		t.Errorf("the listing took %v, want %v", got, want)
	}
}
