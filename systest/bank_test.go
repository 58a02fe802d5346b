package systest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
)

// TestBank moves money between accounts, two records in one commit, and loads
// records, while backups of both kinds run. A backup holds exactly the commits
// up to its version: each restored account has the balance that the transfers
// up to then have left on it, and the sum is what it was in the beginning.
func TestBank(t *testing.T) {
	t.Parallel()
	b := newBank(t)
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for i := range 4 {
		clients.Go(func() { b.transfer(t, rand.New(rand.NewPCG(uint64(i), 1)), stop) })
	}
	clients.Go(func() { b.fill(t, stop) })
	destination := t.TempDir()
	var made []bankBackup
	for i := range 4 {
		made = append(made, bankBackup{b.alpha.backup(t, destination, i == 2), b.newest()})
	}
	close(stop)
	clients.Wait()
	if t.Failed() {
		t.FailNow()
	}
	b.alpha.stop(t)
	for _, backup := range made {
		b.restore(t, destination, backup)
	}
}

const (
	accounts       = 40
	openingBalance = 1_000
	ballastKB      = 1_500
)

var (
	bankRef    = ref{"default", "accounts"}
	stockRef   = ref{"default", "stock"}
	ballastRef = ref{"default", "ballast"}
)

// bank is an alpha with accounts, and all that was ever committed to them.
type bank struct {
	alpha   *alpha
	ballast []byte // what makes a backup take its time
	locks   [accounts]sync.Mutex
	balance [accounts]int // guarded by locks

	mu      sync.Mutex
	commits []bankCommit
}

// bankBackup is a backup and the newest commit that was acknowledged before it
// was done.
type bankBackup struct {
	task
	until uint64
}

// bankCommit is one acknowledged put or load.
type bankCommit struct {
	ts   uint64
	into ref
	put  records
}

func newBank(t *testing.T) *bank {
	heavy := ballast(ballastKB)
	b := &bank{alpha: startAlpha(t, t.TempDir()), ballast: heavy.dump()}
	b.alpha.load(t, model{}, ballastRef, heavy)
	var opening []putRecord
	for i := range b.balance {
		b.balance[i] = openingBalance
		opening = append(opening, b.account(i))
	}
	b.commit(t, opening...)
	b.fillOnce(t, 0)
	return b
}

// ballast is so many kilobytes of records that cannot be compressed much.
func ballast(kb int) records {
	random := rand.New(rand.NewPCG(7, 7))
	out := make(records, kb)
	for i := range kb {
		value := make([]byte, 0, 1024)
		for value = append(value, '"'); len(value) < 1000; {
			value = append(value, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"[random.IntN(64)])
		}
		out[fmt.Sprintf("%08x", random.Uint32())+fmt.Sprint(i)] = string(append(value, '"'))
	}
	return out
}

func accountKey(i int) string { return fmt.Sprintf("account %02d", i) }

// account is the record of an account whose lock is held.
func (b *bank) account(i int) putRecord {
	return putRecord{accountKey(i), json.RawMessage(fmt.Sprint(b.balance[i]))}
}

// commit puts accounts whose locks are held.
func (b *bank) commit(t *testing.T, list ...putRecord) {
	ts, _, err := b.alpha.put(t, bankRef, list...)
	if err != nil {
		t.Error(err)
		return
	}
	put := records{}
	for _, r := range list {
		put[r.Key] = string(r.Value)
	}
	b.note(bankCommit{ts, bankRef, put})
}

func (b *bank) note(c bankCommit) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.commits = append(b.commits, c)
}

func (b *bank) newest() (ts uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.commits {
		ts = max(ts, c.ts)
	}
	return ts
}

// transfer moves money until it is told to stop.
func (b *bank) transfer(t *testing.T, random *rand.Rand, stop <-chan struct{}) {
	for !t.Failed() {
		select {
		case <-stop:
			return
		default:
		}
		from, to := random.IntN(accounts), random.IntN(accounts-1)
		if to >= from {
			to++
		}
		first, second := min(from, to), max(from, to)
		b.locks[first].Lock()
		b.locks[second].Lock()
		amount := random.IntN(100)
		b.balance[from] -= amount
		b.balance[to] += amount
		b.commit(t, b.account(from), b.account(to))
		b.locks[second].Unlock()
		b.locks[first].Unlock()
	}
}

// fill loads records, one batch at a time, until it is told to stop.
func (b *bank) fill(t *testing.T, stop <-chan struct{}) {
	for round := 1; !t.Failed(); round++ {
		select {
		case <-stop:
			return
		default:
			b.fillOnce(t, round)
		}
	}
}

func (b *bank) fillOnce(t *testing.T, round int) {
	lines := records{}
	for i := range 300 {
		lines[fmt.Sprintf("item %d", (round*37+i)%900)] = fmt.Sprintf(`{"round":%d}`, round)
	}
	answer, err := b.alpha.Load(t.Context(), stockRef.namespace, stockRef.name, bytes.NewReader(lines.dump()))
	if err != nil {
		t.Error(err)
		return
	}
	if answer.Batches != 1 {
		t.Errorf("%d records were loaded in %d commits", len(lines), answer.Batches)
	}
	b.note(bankCommit{answer.CommitTs, stockRef, lines})
}

// at returns what must be there at a version.
func (b *bank) at(version uint64) model {
	slices.SortStableFunc(b.commits, func(x, y bankCommit) int { return cmp.Compare(x.ts, y.ts) })
	m := model{bankRef: {records: records{}}, stockRef: {records: records{}}}
	for _, c := range b.commits {
		if c.ts <= version {
			maps.Copy(m[c.into].records, c.put)
		}
	}
	return m
}

// restore restores a backup and compares it with the commits up to its version.
func (b *bank) restore(t *testing.T, destination string, backup bankBackup) {
	t.Helper()
	m := manifestOf(t, destination, backup.task)
	moment := fmt.Sprintf("%s backup at version %d", m.Type, m.ReadTs)
	if m.Type == "full" && backup.until <= m.ReadTs {
		t.Errorf("%s: nothing was committed while it ran, so it shows nothing", moment)
	}
	r := restoreBackup(t, destination, backup.BackupID, int(backup.BackupNum))
	a := startAlpha(t, r.dir)
	defer a.stop(t)
	want := b.at(m.ReadTs)
	sum := 0
	for _, text := range want[bankRef].records {
		balance, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		sum += balance
	}
	if sum != accounts*openingBalance {
		t.Fatalf("%s: the model's sum is %d", moment, sum)
	}
	wantDump(t, moment, a.dump(t, bankRef), want[bankRef].records.dump())
	wantDump(t, moment, a.dump(t, stockRef), want[stockRef].records.dump())
	wantDump(t, moment, a.dump(t, ballastRef), b.ballast)
}
