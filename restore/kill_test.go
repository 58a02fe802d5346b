package restore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/backuptest"
	"github.com/brockdb/brock/backup/destination/destinationtest"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/ee"
	"github.com/brockdb/brock/restore"
)

// stepKey holds the number of the last step that a killed writer made. What a
// database holds after each step is known: see stateAfter.
const stepKey = "step"

func step(txn *badger.Txn, n int) error {
	if err := txn.Set([]byte(stepKey), []byte(strconv.Itoa(n))); err != nil {
		return err
	}
	for i := range 40 {
		if err := txn.Set(fmt.Appendf(nil, "k%03d", (n*17+i)%200), fmt.Appendf(nil, "%d %0500d", n, i)); err != nil {
			return err
		}
	}
	return txn.Delete(fmt.Appendf(nil, "k%03d", n*31%200))
}

func stateAfter(n int) backuptest.State {
	s := backuptest.State{}
	for m := 1; m <= n; m++ {
		for i := range 40 {
			s[fmt.Sprintf("k%03d", (m*17+i)%200)] = backuptest.Entry{Value: fmt.Sprintf("%d %0500d", m, i)}
		}
		delete(s, fmt.Sprintf("k%03d", m*31%200))
		s[stepKey] = backuptest.Entry{Value: strconv.Itoa(m)}
	}
	return s
}

func smallJob(b *backup.Backup) { b.ChunkBytes = 4 << 10 }

// stepUntilKilled writes steps to the database in dir/db and backs each up to
// dir/backups.
func stepUntilKilled(ctx context.Context, t *testing.T, dir string) {
	d := backuptest.Open(t, false, backuptest.SmallOptions(filepath.Join(dir, "db")))
	dst := backuptest.OpenDir(t, filepath.Join(dir, "backups"))
	n, err := strconv.Atoi(backuptest.Read(t, d.DB)[stepKey].Value)
	if err != nil {
		n = 0 // the first child
	}
	for ctx.Err() == nil {
		n++
		d.Commit(func(txn *badger.Txn) error { return step(txn, n) })
		m := d.Backup(dst, smallJob)
		if err := destinationtest.Report(m.Path); err != nil {
			t.Fatal(err)
		}
	}
}

// The tests that start processes are not parallel: from fork to exec a child
// holds the locks that other tests have just given back.

// TestKilledBackup kills a process that backs up in a loop, at random moments:
// what is listed restores exactly, what was acknowledged is listed, and the next
// process goes on and cleans up.
func TestKilledBackup(t *testing.T) {
	if dir, ok := destinationtest.ChildJob(); ok {
		stepUntilKilled(destinationtest.ChildContext(t), t, dir)
		return
	}
	dir := t.TempDir()
	dst := backuptest.OpenDir(t, filepath.Join(dir, "backups"))
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	checked := map[string]bool{}
	for range 8 {
		child, err := destinationtest.StartChild(t, dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		acknowledged := []string{child.Next()}
		time.Sleep(time.Duration(r.IntN(40_000)) * time.Microsecond) // anywhere in the loop
		acknowledged = append(acknowledged, child.Kill()...)
		listed := paths(list(t, dst))
		for _, path := range acknowledged {
			if !slices.Contains(listed, path) {
				t.Fatalf("backup %s was acknowledged and is gone", path)
			}
		}
		checkSteps(t, dir, checked)
	}
	d := backuptest.Open(t, false, backuptest.SmallOptions(filepath.Join(dir, "db")))
	m := d.Backup(dst, smallJob)
	if m.BackupNum != 1 || !strings.Contains(m.Reason, "restarted") {
		t.Errorf("the backup of the next process is number %d: %q", m.BackupNum, m.Reason)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	checkSteps(t, dir, checked)
	l := list(t, dst)
	if got, want := filesIn(t, filepath.Join(dir, "backups")), objectsOf(t, dst, l, ee.Key{}); !slices.Equal(got, want) {
		t.Errorf("debris is left:\n%v\n%v", got, want)
	}
}

// checkSteps restores the listed backups that were not checked before.
func checkSteps(t *testing.T, dir string, checked map[string]bool) {
	t.Helper()
	dst := backuptest.OpenDir(t, filepath.Join(dir, "backups"))
	l := list(t, dst)
	if len(l.Damaged) > 0 {
		t.Fatalf("damaged: %v", l.Damaged)
	}
	for _, s := range l.Series {
		for _, m := range s.Members {
			if checked[m.Path] {
				continue
			}
			checked[m.Path] = true
			got := contentOf(t, dst, m.Manifest, ee.Key{})
			n, err := strconv.Atoi(got[stepKey].Value)
			if err != nil {
				t.Fatalf("%s: %v", m.Path, err)
			}
			backuptest.Equal(t, fmt.Sprintf("%s, step %d", m.Path, n), got, stateAfter(n))
		}
	}
}

// TestKilledRestore kills a restore at random moments: p1 is never half done,
// and the next restore there succeeds and leaves nothing else.
func TestKilledRestore(t *testing.T) {
	if job, ok := destinationtest.ChildJob(); ok {
		from, to, _ := strings.Cut(job, "\n")
		ctx := destinationtest.ChildContext(t)
		r := &restore.Restore{Source: backuptest.OpenDir(t, from), Dir: to, Sink: restore.SinkTables}
		p, err := r.Plan(ctx)
		if err == nil {
			err = destinationtest.Report("planned")
		}
		if err == nil {
			_, err = r.Execute(ctx, p)
		}
		if err != nil {
			t.Fatal(err)
		}
		<-ctx.Done() // killed at the latest here
		return
	}
	from := t.TempDir()
	dst := backuptest.OpenDir(t, from)
	d := backuptest.New(t, false, nil)
	for n := 1; n <= 20; n++ {
		d.Commit(func(txn *badger.Txn) error { return step(txn, n) })
		if n == 10 || n == 20 {
			d.Backup(dst, smallJob)
		}
	}
	want := stateAfter(20)
	early := 0
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	for range 8 {
		to := filepath.Join(t.TempDir(), "out")
		child, err := destinationtest.StartChild(t, from+"\n"+to, nil)
		if err != nil {
			t.Fatal(err)
		}
		child.Next()
		time.Sleep(time.Duration(r.IntN(60_000)) * time.Microsecond) // anywhere in the restore
		child.Kill()
		p1 := filepath.Join(to, "p1")
		if _, err := os.Stat(p1); errors.Is(err, os.ErrNotExist) {
			early++
			if _, err := (&restore.Restore{Source: dst, Dir: to}).Run(t.Context()); err != nil {
				t.Fatalf("the restore after a killed one: %v", err)
			}
			if left, err := filepath.Glob(filepath.Join(to, "*.tmp")); len(left) != 0 || err != nil {
				t.Errorf("left: %v, %v", left, err)
			}
		}
		backuptest.Equal(t, "restored", backuptest.ReadDir(t, p1), want)
	}
	t.Logf("%d of 8 restores were killed before their end", early)
}

// TestKilledBeforeAndAfterTheRename leaves what a restore has at its last two
// moments: the next restore clears the one and refuses the other, which is whole.
func TestKilledBeforeAndAfterTheRename(t *testing.T) {
	t.Parallel()
	s := newSample(t, 0, 1)
	p1 := restoreTo(t, s.dst, s.points[1].m, s.key, restore.SinkTables)
	mark := filepath.Join(p1, "BROCK_RESTORE_IN_PROGRESS")
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	again := &restore.Restore{Source: s.dst, Dir: filepath.Dir(p1)}
	if _, err := again.Run(t.Context()); !fault.Is(err, fault.Exists) {
		t.Errorf("restore to a directory that is whole: %v", err)
	}
	backuptest.Equal(t, "after the rename", backuptest.ReadDir(t, p1), s.points[1].state)
	if err := os.Rename(p1, p1+".tmp"); err != nil {
		t.Fatal(err)
	}
	if _, err := again.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(p1 + "*"); len(left) != 1 || err != nil {
		t.Errorf("there is %v, %v", left, err)
	}
	backuptest.Equal(t, "before the rename", backuptest.ReadDir(t, p1), s.points[1].state)
	if err := os.Rename(p1, p1+".tmp"); err != nil {
		t.Fatal(err)
	}
	if _, err := again.Run(t.Context()); !fault.Is(err, fault.Exists) || fault.HintOf(err) == "" {
		t.Errorf("restore through a directory that is somebody's: %v", err)
	}
}

// TestRestoresAtOnce: of restores into one directory one wins, the others are
// told, and what is there is whole.
func TestRestoresAtOnce(t *testing.T) {
	t.Parallel()
	s := newSample(t, 0, 1)
	for range 10 {
		dir := filepath.Join(t.TempDir(), "out")
		errs := make([]error, 4)
		var all sync.WaitGroup
		for i := range errs {
			all.Go(func() {
				_, errs[i] = (&restore.Restore{Source: s.dst, Dir: dir, Workers: 1}).Run(t.Context())
			})
		}
		all.Wait()
		won := 0
		for _, err := range errs {
			switch {
			case err == nil:
				won++
			case !fault.Is(err, fault.Locked) && !fault.Is(err, fault.Exists):
				t.Errorf("a restore that lost says: %v", err)
			}
		}
		if won != 1 {
			t.Errorf("%d restores won: %v", won, errs)
		}
		if entries, err := os.ReadDir(dir); len(entries) != 1 || err != nil {
			t.Errorf("there is %v, %v", entries, err)
		}
		backuptest.Equal(t, "restored", backuptest.ReadDir(t, filepath.Join(dir, "p1")), s.points[1].state)
	}
}
