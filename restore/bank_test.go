package restore_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/backuptest"
	"github.com/brockdb/brock/restore"
)

const (
	accounts = 60
	opening  = 1000
)

func accountKey(i int) []byte { return fmt.Appendf(nil, "account/%03d", i) }

// balance is stored with padding: some of it lies in the value log.
func balance(i, amount int) []byte {
	return fmt.Appendf(nil, "%d %s", amount, strings.Repeat("x", i%2*1500))
}

func readBalance(value string) (int, error) {
	amount, _, _ := strings.Cut(value, " ")
	return strconv.Atoi(amount)
}

// TestBank moves money between accounts while fulls and incrementals are taken,
// and tables are compacted. In every backup the sum is what it always was.
func TestBank(t *testing.T) {
	for _, managed := range []bool{true, false} {
		t.Run(fmt.Sprintf("managed=%v", managed), func(t *testing.T) {
			t.Parallel()
			bank(t, managed)
		})
	}
}

func bank(t *testing.T, managed bool) {
	d := backuptest.New(t, managed, func(o badger.Options) badger.Options { return o.WithValueLogFileSize(1 << 20) })
	key := backuptest.Key(t, 32)
	dst := backuptest.OpenDir(t, t.TempDir())
	d.Commit(func(txn *badger.Txn) error {
		for i := range accounts {
			if err := txn.Set(accountKey(i), balance(i, opening)); err != nil {
				return err
			}
		}
		return nil
	})
	stop := make(chan struct{})
	var busy sync.WaitGroup
	transfers := newCounter()
	for w := range 3 {
		busy.Go(func() { transferUntil(d, stop, rand.New(rand.NewPCG(uint64(w), 1)), transfers) })
	}
	busy.Go(func() { tidyUntil(t, d, stop, transfers) })
	t.Cleanup(func() { // before the database is closed
		close(stop)
		transfers.end()
		busy.Wait()
	})
	var points []point
	for i := range 8 {
		transfers.wait(100 * i)
		m := d.Backup(dst, func(b *backup.Backup) { b.Key, b.ForceFull = key, i == 4 })
		points = append(points, point{m: m})
	}
	t.Logf("%d transfers", transfers.value())
	for i, p := range points {
		if wantFull := i == 0 || i == 4; (p.m.BackupNum == 1) != wantFull {
			t.Errorf("backup %d is number %d of its series: %s", i, p.m.BackupNum, p.m.Reason)
		}
		sum, n := 0, 0
		for name, e := range backuptest.ReadDir(t, restoreTo(t, dst, p.m, key, restore.SinkAuto)) {
			if name == backuptest.MarkerKey {
				continue
			}
			amount, err := readBalance(e.Value)
			if err != nil {
				t.Fatal(err)
			}
			sum += amount
			n++
		}
		if sum != accounts*opening || n != accounts {
			t.Errorf("%s: %d in %d accounts, not %d in %d", p.m.Path, sum, n, accounts*opening, accounts)
		}
	}
}

// counter counts what others wait for.
type counter struct {
	mu   sync.Mutex
	cond *sync.Cond
	n    int
	over bool
}

func newCounter() *counter {
	c := new(counter)
	c.cond = sync.NewCond(&c.mu)
	return c
}

func (c *counter) add() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	c.cond.Broadcast()
}

func (c *counter) value() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// wait returns when there are n, or after end.
func (c *counter) wait(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.n < n && !c.over {
		c.cond.Wait()
	}
}

func (c *counter) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	c.cond.Broadcast()
}

// transferUntil moves money between random accounts until stop is closed.
func transferUntil(d *backuptest.DB, stop <-chan struct{}, r *rand.Rand, done *counter) {
	for ; ; done.add() {
		select {
		case <-stop:
			return
		default:
		}
		from, to, amount := r.IntN(accounts), r.IntN(accounts-1), r.IntN(50)
		if to >= from {
			to++
		}
		d.Commit(func(txn *badger.Txn) error {
			return errors.Join(book(txn, from, -amount), book(txn, to, amount))
		})
	}
}

func book(txn *badger.Txn, account, amount int) error {
	item, err := txn.Get(accountKey(account))
	if err != nil {
		return err
	}
	value, err := item.ValueCopy(nil)
	if err != nil {
		return err
	}
	before, err := readBalance(string(value))
	if err != nil {
		return err
	}
	return txn.Set(accountKey(account), balance(account, before+amount))
}

// tidyUntil compacts now and then until stop is closed. It does not collect the
// value log: Badger's collector reads the newest version in a memtable without a
// lock, which the race detector sees.
func tidyUntil(t *testing.T, d *backuptest.DB, stop <-chan struct{}, transfers *counter) {
	for next := 50; ; next = transfers.value() + 50 {
		transfers.wait(next)
		select {
		case <-stop:
			return
		default:
		}
		if err := d.Flatten(1); err != nil {
			t.Error(err)
		}
	}
}

// TestValueLogCollectedDuringBackup collects the value log while a backup reads
// it: the values that it still has to read are moved.
func TestValueLogCollectedDuringBackup(t *testing.T) {
	t.Parallel()
	d := backuptest.New(t, false, func(o badger.Options) badger.Options { return o.WithValueLogFileSize(1 << 20) })
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 3 {
		for i := range 250 {
			if round == 0 || i%5 != 0 {
				d.Set(fmt.Sprintf("k%03d", i), backuptest.Entry{Value: backuptest.RandomText(r, 3000)})
			}
		}
		d.Churn(r) // compaction counts what may be collected
	}
	collected := 0
	dst := &backuptest.Hook{Destination: backuptest.OpenDir(t, t.TempDir()), BeforeCreate: func(name string) {
		if !strings.HasSuffix(name, ".backup") {
			return
		}
		for d.RunValueLogGC(0.3) == nil {
			collected++
		}
	}}
	m := d.Backup(dst, nil)
	if collected == 0 {
		t.Error("no value log file was collected: nothing was shown")
	}
	wantRestored(t, dst, point{m, d.Model}, backuptest.Key(t, 0), restore.SinkAuto)
}
