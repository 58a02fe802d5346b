package systest

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	badger "github.com/dgraph-io/badger/v4"
)

// TestDeletesStayDeleted removes records after a full backup and then writes so
// much, with restarts in between, that Badger compacts its tables. Compaction
// throws delete markers away as soon as it may: a first alpha, without backups,
// shows that it does here. The incremental that follows must know of the
// deletes nevertheless.
func TestDeletesStayDeleted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		backedUp bool
	}{{"without backup", false}, {"with backup", true}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := &deletes{t: t, destination: t.TempDir(), model: model{}, backedUp: c.backedUp}
			d.run()
		})
	}
}

type deletes struct {
	t           *testing.T
	alpha       *alpha
	destination string
	model       model
	backedUp    bool
	writes      int
}

var (
	removedRef = ref{"default", "removed"}
	heavyRef   = ref{"default", "heavy"}
)

func (d *deletes) run() {
	t := d.t
	d.alpha = startAlpha(t, t.TempDir())
	var list []putRecord
	for i := range 200 {
		list = append(list, putRecord{fmt.Sprintf("key %03d", i), json.RawMessage(`"from before"`)})
	}
	d.alpha.store(t, d.model, removedRef, list...)
	d.rewrite()
	full := d.backup()
	gone := d.model.someKeys(removedRef, 100)
	d.alpha.remove(t, d.model, removedRef, gone...)
	if d.backedUp { // elsewhere, which lets go of nothing that is kept for the first series
		elsewhere := t.TempDir()
		d.alpha.backup(t, elsewhere, false)
		d.alpha.backup(t, elsewhere, false)
	}
	d.compact(len(gone))
	if !d.backedUp {
		return
	}
	d.alpha = d.alpha.again(t)
	incremental := d.backup()
	d.alpha.check(t, d.model, "before the restore")
	d.alpha.stop(t)
	if incremental.BackupID != full.BackupID || incremental.BackupNum != 2 {
		t.Fatalf("the second backup is %+v", incremental)
	}
	restored := startAlpha(t, restoreBackup(t, d.destination, full.BackupID, 2).dir)
	restored.check(t, d.model, "after the restore")
	restored.stop(t)
}

func (d *deletes) backup() (done task) {
	if d.backedUp {
		done = d.alpha.backup(d.t, d.destination, false)
	}
	return done
}

// rewrite overwrites all of the heavy collection, values of 64 kB.
func (d *deletes) rewrite() {
	d.writes++
	const count, valueBytes = 30, 64 << 10
	lines := records{}
	for i := range count {
		text := fmt.Sprintf("%d.%d ", d.writes, i)
		lines[fmt.Sprintf("heavy %d", i)] = `"` + strings.Repeat(text, valueBytes/len(text)) + `"`
	}
	d.alpha.load(d.t, d.model, heavyRef, lines)
}

// compact writes and restarts until Badger has compacted its tables of level 0,
// of which every restart makes one. With no backup that may go on as an
// increment the delete markers are gone then.
func (d *deletes) compact(markers int) {
	t := d.t
	for range 40 {
		d.rewrite()
		d.alpha.stop(t)
		compacted, left := look(t, d.alpha.dir)
		switch {
		case compacted && d.backedUp && left != markers:
			t.Errorf("of %d delete markers %d are left after a compaction", markers, left)
			return
		case compacted && (d.backedUp || left == 0):
			return
		}
		d.alpha = d.alpha.again(t)
		time.Sleep(100 * time.Millisecond) // Badger compacts when it sees fit
	}
	t.Errorf("Badger has not compacted as expected (with backup: %v)", d.backedUp)
}

// look opens a database with Badger itself. It reports whether there are tables
// beyond level 0 and how many delete markers of records are left.
func look(t *testing.T, dir string) (compacted bool, markers int) {
	t.Helper()
	db, err := badger.OpenManaged(badger.DefaultOptions(dir).WithReadOnly(true).WithLogger(nil))
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range db.Tables() {
		compacted = compacted || table.Level > 0
	}
	txn := db.NewTransactionAt(math.MaxUint64, false)
	it := txn.NewIterator(badger.IteratorOptions{AllVersions: true})
	for it.Rewind(); it.Valid(); it.Next() {
		const recordKind = 2
		if it.Item().Key()[0] == recordKind && it.Item().IsDeletedOrExpired() {
			markers++
		}
	}
	it.Close()
	txn.Discard()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return compacted, markers
}
