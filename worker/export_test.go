package worker

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/brockdb/brock/backup/destination/destinationtest"
	"github.com/brockdb/brock/restore"
	"github.com/brockdb/brock/worker/store"
	"github.com/brockdb/brock/worker/task"
)

// TestExportReadsWhatItMust counts the bytes and requests of the export of a
// small collection that lies between two large ones, in a series of two backups.
func TestExportReadsWhatItMust(t *testing.T) {
	t.Parallel()
	n := openNode(t, Options{Dir: t.TempDir()})
	fill := func(collection string, records, size int) {
		r := rand.New(rand.NewPCG(1, uint64(size)))
		for i := 0; i < records; i += 100 {
			b := &store.Batch{}
			for j := i; j < min(i+100, records); j++ {
				text := make([]byte, size)
				for k := range text {
					text[k] = 'a' + byte(r.IntN(26))
				}
				b.Puts = append(b.Puts, store.Put{Collection: collection, Key: fmt.Sprintf("%06d", j), Value: fmt.Appendf(nil, "%q", text)})
			}
			if _, err := n.Propose(t.Context(), b); err != nil {
				t.Fatal(err)
			}
		}
	}
	to := t.TempDir()
	take := func() {
		id, err := n.SubmitBackup(t.Context(), BackupRequest{Destination: to})
		if err != nil {
			t.Fatal(err)
		}
		if done := await(t, n, id); done.Status != task.Success {
			t.Fatalf("%+v", done)
		}
	}
	fill("a", 2000, 8000)
	fill("b", 100, 100)
	fill("c", 2000, 8000)
	take()
	fill("a", 500, 8000)
	fill("b", 10, 50)
	take()
	d, err := n.openDestination(t.Context(), to, BackupRequest{}.Credentials)
	if err != nil {
		t.Fatal(err)
	}
	var stored int64
	for _, name := range destinationtest.Names(t, d, "") {
		info, err := d.Stat(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		stored += info.Size
	}
	faulty := destinationtest.NewFaulty(d)
	var out bytes.Buffer
	e := &Export{Source: faulty, Point: restore.Point{}, Collection: "b", Format: NDJSON}
	done, err := e.Run(t.Context(), &out)
	if err != nil || done.Records != 100 || strings.Count(out.String(), "\n") != 100 {
		t.Fatalf("%+v, %v", done, err)
	}
	var bytesRead int64
	opens := 0
	for _, call := range faulty.Trace() {
		if call.Op == destinationtest.OpRead {
			bytesRead += int64(call.Bytes)
		}
		if call.Op == destinationtest.OpOpen && strings.HasSuffix(call.Name, ".backup") {
			opens++
		}
	}
	t.Logf("%d of %d bytes, %d requests for parts", bytesRead, stored, opens)
	if bytesRead > stored/3 || bytesRead == 0 {
		t.Errorf("%d of %d bytes were read for a collection of %d", bytesRead, stored, out.Len())
	}
	if opens > 8 { // of each backup the chunks of the catalog, and of the collection
		t.Errorf("%d requests for parts", opens)
	}
}

// await waits for the end of a task.
func await(t *testing.T, n *Node, id string) task.Task {
	t.Helper()
	for {
		got, err := n.Task(id)
		if err != nil {
			t.Fatal(err)
		}
		if got.Status.Final() {
			return got
		}
		time.Sleep(5 * time.Millisecond) // between two looks
	}
}
