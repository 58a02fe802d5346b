package store

import (
	"context"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/archive"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/destination/destinationtest"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
	"github.com/brockdb/brock/ee"
	"github.com/brockdb/brock/restore"
)

// These tests cut backups of a store off, go on with them, and compare what is
// restored with a model of the moment at which they were begun.

// cutOff is a store with a model beside it, and a destination that fails.
type cutOff struct {
	t      *testing.T
	o      Options
	store  *Store
	model  map[string]string // of collection c
	faulty *destinationtest.Faulty
	dir    string // of the destination
	key    ee.Key
	writes int

	workers int // of backups; 0 means 1
}

const cutOffKeys = 96

func newCutOff(t *testing.T) *cutOff {
	t.Helper()
	c := &cutOff{t: t, o: testOptions(t.TempDir()), model: map[string]string{}}
	tune := c.o.tune
	c.o.tune = func(o *badger.Options) {
		tune(o)
		o.BaseTableSize = 128 << 10
		o.BaseLevelSize = 1 << 20
	}
	key, err := ee.NewKey([]byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	c.key = key
	c.store = openStore(t, c.o)
	all := make([]int, cutOffKeys)
	for i := range all {
		all[i] = i
	}
	c.write(all...)
	c.reopen()
	c.elsewhere()
	return c
}

// elsewhere takes another, empty destination.
func (c *cutOff) elsewhere() {
	c.t.Helper()
	c.dir = filepath.Join(c.t.TempDir(), "backups")
	d, err := destination.Open(context.Background(), c.dir, destination.Options{})
	if err != nil {
		c.t.Fatal(err)
	}
	c.faulty = destinationtest.NewFaulty(d)
}

// write stores records in one commit.
func (c *cutOff) write(numbers ...int) {
	c.t.Helper()
	b := &Batch{}
	for _, i := range numbers {
		c.writes++
		key, value := fmt.Sprintf("k%02d", i), fmt.Sprintf("%q", fmt.Sprintf("%d %s", c.writes, strings.Repeat("x", 11<<10)))
		b.Puts = append(b.Puts, Put{Collection: "c", Key: key, Value: []byte(value)})
		c.model[key] = value
	}
	propose(c.t, c.store, b)
}

// change overwrites and deletes over the whole range.
func (c *cutOff) change() {
	c.t.Helper()
	var numbers []int
	for i := range cutOffKeys {
		if i%5 == c.writes%5 || c.model[fmt.Sprintf("k%02d", i)] == "" { // what was deleted before comes back
			numbers = append(numbers, i)
		}
	}
	c.write(numbers...)
	var gone []string
	for _, i := range numbers[:len(numbers)/4] {
		if key := fmt.Sprintf("k%02d", (i+c.writes)%cutOffKeys); c.model[key] != "" {
			gone = append(gone, key)
			delete(c.model, key)
		}
	}
	remove(c.t, c.store, "c", gone...)
}

// reopen opens the store again and compacts it, so that all goes that may go.
func (c *cutOff) reopen() {
	c.t.Helper()
	c.store = reopenCompacted(c.t, c.store, c.o)
}

// job is a backup that notes every part.
func (c *cutOff) job(full bool) *backup.Backup {
	return &backup.Backup{Source: c.store.Source(), Destination: c.faulty, ForceFull: full, Key: c.key,
		ChunkBytes: 32 << 10, PartBytes: 60 << 10, Workers: max(c.workers, 1), NoteInterval: 1, Level: archive.NoCompression,
		Progress: new(backup.Progress)}
}

// run takes a backup that must succeed.
func (c *cutOff) run(full bool) (*manifest.Manifest, backup.Resumed) {
	c.t.Helper()
	b := c.job(full)
	m, err := b.Run(context.Background())
	if err != nil {
		c.t.Fatal(err)
	}
	return m, b.Progress.Resumed()
}

// healed lets the destination answer again, without the lease of the process
// that died.
func (c *cutOff) healed() {
	c.t.Helper()
	c.faulty.Heal()
	if err := os.RemoveAll(filepath.Join(c.dir, "brock.lease")); err != nil {
		c.t.Fatal(err)
	}
}

// check restores a backup and compares it with a model.
func (c *cutOff) check(what string, m *manifest.Manifest, want map[string]string) {
	c.t.Helper()
	dir := c.t.TempDir()
	r := &restore.Restore{Source: c.faulty, BackupID: m.BackupID, BackupNum: m.BackupNum, Keys: ee.NewKeyRing(c.key), Dir: dir, Workers: 2}
	if _, err := r.Run(context.Background()); err != nil {
		c.t.Fatalf("%s: %v", what, err)
	}
	got := rawRecords(c.t, filepath.Join(dir, "p1"))
	if !maps.Equal(got, want) {
		c.t.Errorf("%s: %d records are restored, want %d", what, len(got), len(want))
		for key, value := range want {
			if got[key] != value {
				c.t.Fatalf("%s: %s is %.20q, want %.20q", what, key, got[key], value)
			}
		}
		for key := range got {
			if want[key] == "" {
				c.t.Fatalf("%s: %s was invented", what, key)
			}
		}
	}
}

// rawRecords reads the records in a restored directory, whatever the catalog says.
func rawRecords(t testing.TB, dir string) map[string]string {
	t.Helper()
	o := badger.DefaultOptions(dir).WithLogger(nil).WithMemTableSize(8 << 20)
	small(&o)
	db, err := badger.OpenManaged(o)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	txn := db.NewTransactionAt(math.MaxUint64, false)
	defer txn.Discard()
	got := map[string]string{}
	it := txn.NewIterator(badger.IteratorOptions{})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		if _, key, ok := parseRecordKey(it.Item().Key()); ok {
			value, err := it.Item().ValueCopy(nil)
			if err != nil {
				t.Fatal(err)
			}
			got[string(key)] = string(value)
		}
	}
	return got
}

// nothingElse checks that all that stands at the destination belongs to backups
// that exist.
func (c *cutOff) nothingElse(what string) {
	c.t.Helper()
	l, err := backup.List(context.Background(), c.faulty)
	if err != nil {
		c.t.Fatal(err)
	}
	if len(l.Unfinished)+len(l.Damaged) > 0 {
		c.t.Errorf("%s: left at the destination: %v %v", what, l.Unfinished, l.Damaged)
	}
	for _, s := range l.Series {
		for _, m := range s.Members {
			list, err := backup.ReadPartList(context.Background(), c.faulty, m.Manifest, 1, c.key)
			if err != nil {
				c.t.Fatalf("%s: %v", what, err)
			}
			names, err := filepath.Glob(filepath.Join(c.dir, m.Path, "*")) // unfinished objects too
			if err != nil {
				c.t.Fatal(err)
			}
			if hidden, _ := filepath.Glob(filepath.Join(c.dir, m.Path, ".*")); len(hidden) > 0 {
				c.t.Errorf("%s: backup %s has left %q", what, m.Path, hidden)
			}
			if len(names) != len(list.Parts)+2 {
				c.t.Errorf("%s: backup %s has the objects %q", what, m.Path, names)
			}
		}
	}
}

// TestResumeAtEveryCall crashes a full and then an incremental at every call of
// the destination. When it is asked for again, after overwrites, deletes and
// compactions, it is the backup of the moment at which it was begun, or of now.
func TestResumeAtEveryCall(t *testing.T) {
	t.Parallel()
	c := newCutOff(t)
	c.workers = 3
	c.run(true)
	calls := c.faulty.Count(destinationtest.AnyOp)
	wentOn := 0
	const step = 13
	first := time.Now().Nanosecond() % step // another one in every run
	for n := first; n < calls; n += step {
		c.elsewhere()
		what := fmt.Sprintf("crash at call %d of %d", n, calls)
		wentOn += c.crashAndGoOn(what, n, true)
		if n%4 == 0 {
			wentOn += c.crashAndGoOn(what+", incremental", n, false)
		}
	}
	if wentOn < 1 {
		t.Error("no backup went on, so nothing was shown")
	}
	t.Logf("%d calls; %d backups went on", calls, wentOn)
}

// crashAndGoOn returns 1 when the backup went on after the crash.
func (c *cutOff) crashAndGoOn(what string, n int, full bool) int {
	c.t.Helper()
	begun := maps.Clone(c.model)
	c.faulty.CrashAt(n)
	m, err := c.job(full).Run(context.Background())
	if err == nil {
		c.healed()
		c.check(what+" (it survived)", m, begun)
		return 0
	}
	c.healed()
	c.change()
	c.reopen()
	m, resumed := c.run(full)
	if resumed.Parts > 0 {
		c.check(what+", gone on", m, begun)
	} else {
		// Either it begins afresh, or it was stored when the crash came, and this
		// is the next.
		c.check(what+", afresh", m, c.model)
	}
	c.nothingElse(what)
	c.change()
	c.reopen()
	next, _ := c.run(false)
	if next.Type != manifest.Incremental || next.Since != m.ReadTs {
		c.t.Errorf("%s: the next backup is %s since %d: %s", what, next.Type, next.Since, next.Reason)
	}
	c.check(what+", the next", next, c.model)
	return min(resumed.Parts, 1)
}

// cutOffMidway crashes a full while it stores its nth part. At least n-1 parts
// are noted then.
func (c *cutOff) cutOffMidway(n int) (folder string) {
	c.t.Helper()
	c.faulty.Add(destinationtest.Rule{Op: destinationtest.OpCreate, Name: ".backup", Nth: n + 1, Crash: true})
	_, err := c.job(true).Run(context.Background())
	if err == nil {
		c.t.Fatal("the backup survived")
	}
	c.healed()
	l, err := backup.List(context.Background(), c.faulty)
	if err != nil || len(l.Unfinished) != 1 {
		c.t.Fatalf("there is %+v, %v", l, err)
	}
	return l.Unfinished[0]
}

// TestResumeSendsNothingTwice: what is stored and sound is not written again,
// and no object has the IV of another.
func TestResumeSendsNothingTwice(t *testing.T) {
	t.Parallel()
	c := newCutOff(t)
	begun := maps.Clone(c.model)
	folder := c.cutOffMidway(4)
	before := map[string]string{}
	for _, name := range destinationtest.Names(t, c.faulty, folder) {
		before[name] = string(destinationtest.Get(t, c.faulty, name))
	}
	c.change()
	c.reopen()
	m, resumed := c.run(true)
	if m.Path != folder || resumed.Parts < 2 || resumed.StoredBytes == 0 || resumed.Afresh != "" {
		t.Fatalf("backup %s, after %s: %+v", m.Path, folder, resumed)
	}
	c.check("gone on", m, begun)
	c.nothingElse("gone on")
	list, err := backup.ReadPartList(context.Background(), c.faulty, m, 1, c.key)
	if err != nil {
		t.Fatal(err)
	}
	kept, ivs := 0, map[string]bool{}
	for _, p := range list.Parts {
		name := folder + "/" + p.Name
		if ivs[p.IV] {
			t.Errorf("the IV of %s is that of another part", p.Name)
		}
		ivs[p.IV] = true
		if before[name] == "" {
			continue
		}
		kept++
		if string(destinationtest.Get(t, c.faulty, name)) != before[name] {
			t.Errorf("%s has changed", name)
		}
	}
	if kept != resumed.Parts || len(list.Parts) <= kept {
		t.Errorf("%d of %d parts were there before; %d are said to be saved", kept, len(list.Parts), resumed.Parts)
	}
	if _, held := c.store.Source().(backup.Resumer).Held(c.faulty.String()); held {
		t.Error("a snapshot is still held")
	}
}

// TestResumeAfterOutage: the destination does not answer for a while, and the
// process lives. A stop on request, and a full disk, leave nothing.
func TestResumeAfterOutage(t *testing.T) {
	t.Parallel()
	c := newCutOff(t)
	begun := maps.Clone(c.model)
	c.faulty.Add(destinationtest.Rule{Op: destinationtest.OpCreate, Name: ".backup", Nth: 4, Forever: true,
		Err: fault.New(fault.Other, "create it", "the network is gone")})
	_, err := c.job(true).Run(context.Background())
	if err == nil || !strings.Contains(fault.HintOf(err), "again") {
		t.Fatalf("the backup ended with %v, hint %q", err, fault.HintOf(err))
	}
	c.healed()
	c.change()
	flatten(t, c.store)
	m, resumed := c.run(true)
	if resumed.Parts == 0 {
		t.Fatalf("it did not go on: %+v", resumed)
	}
	c.check("after the outage", m, begun)

	c.elsewhere()
	c.faulty.Add(destinationtest.Rule{Op: destinationtest.OpCreate, Name: ".backup", Nth: 4,
		Err: fault.New(fault.NoSpace, "create it", "full")})
	if _, err := c.job(true).Run(context.Background()); !fault.Is(err, fault.NoSpace) {
		t.Fatal(err)
	}
	if names := destinationtest.Names(t, c.faulty, ""); len(names) > 1 { // the lease
		t.Errorf("on a full disk %q are left", names)
	}
	if _, held := c.store.Source().(backup.Resumer).Held(c.faulty.String()); held {
		t.Error("a snapshot is held that nothing can use")
	}
}

// TestHostileNotes: a note that was altered, cut, or written by somebody else is
// as good as none, and so is a part that is not what was noted.
func TestHostileNotes(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(c *cutOff, folder string){
		"a flipped bit in every note": func(c *cutOff, folder string) {
			c.eachFile(folder, "resume.", func(data []byte) []byte { data[len(data)/2] ^= 1; return data })
		},
		"notes cut short": func(c *cutOff, folder string) {
			c.eachFile(folder, "resume.", func(data []byte) []byte { return data[:len(data)/2] })
		},
		"empty notes": func(c *cutOff, folder string) {
			c.eachFile(folder, "resume.", func([]byte) []byte { return nil })
		},
		"no notes": func(c *cutOff, folder string) { c.eachFile(folder, "resume.", nil) },
		"notes under other names": func(c *cutOff, folder string) {
			found, err := filepath.Glob(filepath.Join(c.dir, folder, "resume.*"))
			c.harmed(err)
			for _, name := range found {
				c.harmed(os.Rename(name, strings.Replace(name, "resume.0", "resume.1", 1)))
			}
		},
		"altered parts": func(c *cutOff, folder string) {
			c.eachFile(folder, "r", func(data []byte) []byte { data[len(data)-9] ^= 1; return data })
		},
		"parts cut short": func(c *cutOff, folder string) {
			c.eachFile(folder, "r", func(data []byte) []byte { return data[:len(data)-1] })
		},
		"another key": func(c *cutOff, _ string) { c.key = ee.Key{} },
		"no folder":   func(c *cutOff, folder string) { c.harmed(os.RemoveAll(filepath.Join(c.dir, folder))) },
		"snapshot let go": func(c *cutOff, _ string) {
			c.harmed(c.store.Source().(backup.Resumer).Release(context.Background(), c.faulty.String()))
		},
		"a held collection": func(c *cutOff, _ string) {
			propose(c.t, c.store, &Batch{Drops: []Ref{{Collection: "c"}}})
			c.model = map[string]string{}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCutOff(t)
			begun := maps.Clone(c.model)
			folder := c.cutOffMidway(4)
			harm(c, folder)
			if name != "a held collection" {
				c.change()
			}
			c.reopen()
			m, resumed := c.run(true)
			if name == "a held collection" {
				if resumed.Parts == 0 {
					t.Errorf("it did not go on: %q", resumed.Afresh)
				}
				c.check(name, m, begun)
			} else {
				if resumed.Parts > 0 {
					t.Errorf("it went on with %+v", resumed)
				}
				c.check(name, m, c.model)
			}
			c.nothingElse(name)
		})
	}
}

func (c *cutOff) harmed(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// eachFile changes, or removes, the objects in a folder whose name begins so.
func (c *cutOff) eachFile(folder, prefix string, change func([]byte) []byte) {
	c.t.Helper()
	found, err := filepath.Glob(filepath.Join(c.dir, folder, prefix+"[0-9.]*"))
	if err != nil || len(found) == 0 {
		c.t.Fatalf("%s: %v, %v", prefix, found, err)
	}
	for _, path := range found {
		if strings.HasPrefix(prefix, "r") && prefix == "r" && strings.Contains(path, "resume.") {
			continue
		}
		if change == nil {
			c.harmed(os.Remove(path))
			continue
		}
		data, err := os.ReadFile(path)
		c.harmed(err)
		c.harmed(os.WriteFile(path, change(data), 0o600))
	}
}

// TestHeldSnapshotGetsTooOld: what nobody goes on with is let go like any pin.
func TestHeldSnapshotGetsTooOld(t *testing.T) {
	t.Parallel()
	c := newCutOff(t)
	clock := newClock()
	c.o.Now, c.o.PinMaxAge = clock.now, time.Hour
	c.reopen()
	c.cutOffMidway(3)
	if pins := c.store.Pins(); len(pins) != 1 || pins[0].ReadTs == 0 || pins[0].BackupNum != 0 {
		t.Fatalf("pins: %+v", pins)
	}
	clock.forward(2 * time.Hour)
	c.change() // the committer looks at ages
	c.reopen()
	c.change()
	m, resumed := c.run(true)
	if resumed.Parts > 0 {
		t.Errorf("it went on: %+v", resumed)
	}
	c.check("afresh", m, c.model)
	c.nothingElse("afresh")
}
