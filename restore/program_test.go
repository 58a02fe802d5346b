package restore_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/backuptest"
	"github.com/brockdb/brock/backup/destination/destinationtest"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
	"github.com/brockdb/brock/ee"
	"github.com/brockdb/brock/restore"
)

var (
	programSeed  = flag.Uint64("program.seed", 0, "of TestProgram, as a failed one has logged it; 0 means a new one")
	programSteps = flag.Int("program.steps", 60, "of TestProgram")
)

// TestProgram does to a database of a program what programs do: entries that
// expire, that have expired, that discard earlier versions; databases that are
// emptied and filled again from a backup, in place; new processes; backups to two
// destinations that fail or are canceled. Every backup that exists restores what was there.
func TestProgram(t *testing.T) {
	for _, managed := range []bool{false, true} {
		t.Run(fmt.Sprintf("managed=%v", managed), func(t *testing.T) {
			t.Parallel()
			seed := *programSeed
			if seed == 0 {
				seed = rand.Uint64()
			}
			t.Logf("go test ./restore -run '^TestProgram$' -program.seed %d -program.steps %d", seed, *programSteps)
			p := &program{T: t, r: rand.New(rand.NewPCG(seed, 3)), points: map[string]point{}}
			p.o = backuptest.SmallOptions(t.TempDir())
			p.d = backuptest.Open(t, managed, p.o)
			for range 2 {
				dir := filepath.Join(t.TempDir(), "backups")
				p.dirs = append(p.dirs, dir)
				p.places = append(p.places, destinationtest.NewFaulty(backuptest.OpenDir(t, dir)))
			}
			for range *programSteps {
				p.step()
			}
			p.backup(0)
			p.backup(1)
			for _, path := range slices.Sorted(maps.Keys(p.points)) {
				if p.r.IntN(3) == 0 {
					p.restore(path)
				}
			}
			if err := p.d.Close(); err != nil {
				t.Error(err)
			}
			t.Logf("%v", p.did)
		})
	}
}

type program struct {
	*testing.T
	r      *rand.Rand
	o      badger.Options
	d      *backuptest.DB
	dirs   []string
	places []*destinationtest.Faulty
	points map[string]point
	// another says of a place that its backups are of another database by now.
	another [2]bool
	did     struct{ full, incremental, failed, canceled, refilled, restored int }
}

func (p *program) key() string { return fmt.Sprintf("k%03d", p.r.IntN(120)) }

func (p *program) step() {
	switch x := p.r.IntN(100); {
	case x < 40:
		for range 1 + p.r.IntN(6) {
			p.d.Set(p.key(), randomEntry(p.r))
		}
	case x < 55:
		p.d.Delete(p.key())
	case x < 63:
		p.expired()
	case x < 68:
		p.discarding()
	case x < 71:
		p.d.Churn(p.r)
	case x < 76: // no RunValueLogGC, which brings deleted keys back (docs/robustness.md)
		p.reopen()
	case x < 79:
		p.refill()
	case x < 96:
		p.backup(p.r.IntN(2))
	default:
		if all := slices.Sorted(maps.Keys(p.points)); len(all) > 0 {
			p.restore(all[p.r.IntN(len(all))])
		}
	}
}

// expired puts an entry that has expired, over what may be there.
func (p *program) expired() {
	key := p.key()
	p.d.Set(key, backuptest.Entry{Value: "x", ExpiresAt: uint64(time.Now().Unix()) - 10})
	delete(p.d.Model, key)
}

// discarding puts an entry that says that earlier versions do not count.
func (p *program) discarding() {
	key, value := p.key(), backuptest.RandomText(p.r, p.r.IntN(2000))
	p.d.Commit(func(txn *badger.Txn) error {
		return txn.SetEntry(badger.NewEntry([]byte(key), []byte(value)).WithDiscard())
	})
	p.d.Model[key] = backuptest.Entry{Value: value}
}

// reopen is a new process.
func (p *program) reopen() {
	model := p.d.Model
	if err := p.d.Close(); err != nil {
		p.Fatal(err)
	}
	p.d = backuptest.Open(p, p.d.Managed, p.o)
	p.d.Model = model
	p.check("reopened")
}

// check compares the database itself with the model.
func (p *program) check(what string) {
	p.Helper()
	var got backuptest.State
	if err := p.d.View(func(txn *badger.Txn) error { got = backuptest.ReadTxn(p, txn); return nil }); err != nil {
		p.Fatal(err)
	}
	maps.DeleteFunc(got, func(key string, _ backuptest.Entry) bool { return key[0] == '!' || key == backuptest.MarkerKey })
	want := p.d.Model.Clone()
	delete(want, backuptest.MarkerKey)
	if backuptest.Equal(p, what, got, want); p.Failed() {
		p.FailNow()
	}
}

// refill empties the database and, often, fills it from a backup.
func (p *program) refill() {
	if p.d.Managed {
		return // its program would have to move its clock on
	}
	if err := p.d.DropAll(); err != nil {
		p.Fatal(err)
	}
	p.d.Model = backuptest.State{}
	all := slices.Sorted(maps.Keys(p.points))
	if len(all) == 0 || p.r.IntN(3) == 0 {
		return
	}
	from := p.points[all[p.r.IntN(len(all))]]
	r := &restore.Restore{Source: p.placeOf(from.m), BackupID: from.m.BackupID, BackupNum: from.m.BackupNum,
		Keys: ee.NewKeyRing(backuptest.Key(p, 16)), DB: p.d.DB, Workers: 2}
	if _, err := r.Run(context.Background()); err != nil {
		p.Fatal(err)
	}
	p.d.Model = from.state.Clone()
	p.did.refilled++
}

func (p *program) placeOf(m *manifest.Manifest) *destinationtest.Faulty {
	for i, dir := range p.dirs {
		if _, err := os.Stat(filepath.Join(dir, m.Path)); err == nil {
			return p.places[i]
		}
	}
	p.Fatalf("backup %s is nowhere", m.Path)
	return nil
}

// backup takes one, which may fail at any call or be canceled.
func (p *program) backup(place int) {
	dst := p.places[place]
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	hook := &backuptest.Hook{Destination: dst}
	kind := p.r.IntN(5)
	switch at := p.r.IntN(40); kind {
	case 0:
		dst.Add(destinationtest.Rule{Nth: at, Late: at%2 == 0, Forever: at%3 == 0, Err: errors.New("the storage is gone")})
	case 1:
		left := at % 6
		hook.BeforeCreate = func(string) {
			if left--; left < 0 {
				cancel()
			}
		}
	}
	want := p.d.Model.Clone()
	if p.d.Managed {
		want[backuptest.MarkerKey] = backuptest.Entry{}
	}
	m, err := p.d.Job(hook, func(b *backup.Backup) {
		b.Key, b.ForceFull = backuptest.Key(p, 16), p.r.IntN(8) == 0 || p.another[place]
	}).Run(ctx)
	dst.Heal()
	if err := os.RemoveAll(filepath.Join(p.dirs[place], "brock.lease")); err != nil {
		p.Fatal(err)
	}
	switch {
	case m != nil && m.Type == manifest.Full:
		p.did.full++
	case m != nil:
		p.did.incremental++
	case kind == 1:
		p.did.canceled++
	default:
		p.did.failed++
	}
	// A database that was emptied and not backed up before the process ended has
	// lost its identity.
	p.another[place] = m == nil && (p.another[place] || fault.Is(err, fault.Mixed))
	if m == nil && kind > 1 && !fault.Is(err, fault.Mixed) {
		p.Fatalf("a backup failed: %v", err)
	}
	l, lerr := backup.List(p.Context(), dst)
	if lerr != nil || len(l.Damaged) > 0 {
		p.Fatal(l, lerr)
	}
	found := 0
	for _, s := range l.Series {
		for _, one := range s.Members {
			id := fmt.Sprint(place, one.Path)
			if _, known := p.points[id]; !known {
				found++
				p.points[id] = point{one.Manifest, want}
				if m != nil && one.Path != m.Path || m == nil && kind == 1 {
					p.Fatalf("backup %s was invented (%v)", one.Path, err)
				}
			}
		}
	}
	if m != nil && found != 1 {
		p.Fatalf("%d backups came with %s: %v", found, m.Path, err)
	}
}

func (p *program) restore(id string) {
	kind := restore.SinkStream
	if p.r.IntN(2) == 0 {
		kind = restore.SinkAuto
	}
	one := p.points[id]
	p.did.restored++
	wantRestored(p, p.places[int(id[0]-'0')], one, backuptest.Key(p, 16), kind)
	if p.Failed() {
		p.Fatalf("%s of %s: %s", id, one.m.Type, one.m.Reason)
	}
}
