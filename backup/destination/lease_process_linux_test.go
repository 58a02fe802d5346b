package destination_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/destination/destinationtest"
	"github.com/brockdb/brock/backup/fault"
)

// TestLeaseOfKilledProcess takes the lease over at once from a process of this
// host that was killed, and never from one that is alive, stopped included.
func TestLeaseOfKilledProcess(t *testing.T) {
	if dir, ok := destinationtest.ChildJob(); ok {
		ctx := destinationtest.ChildContext(t)
		acquire(t, dirAt(t, dir), "child")
		if err := destinationtest.Report("acquired"); err != nil {
			t.Fatal(err)
		}
		<-ctx.Done()
		return
	}
	d := newDir(t)
	child, err := destinationtest.StartChild(t, d.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	child.Next()
	wantHolder := func() {
		t.Helper()
		if err := wantLocked(t, d); !strings.Contains(err.Error(), fmt.Sprintf("child on %s (pid %d", hostname(t), child.PID())) {
			t.Errorf("the error is %q", err)
		}
	}
	wantHolder()
	if err := syscall.Kill(child.PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	wantHolder()
	// It ends, and stays a zombie as long as its parent does not wait for it.
	if err := syscall.Kill(child.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := unix.Waitid(unix.P_PID, child.PID(), nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	l := acquire(t, d, "parent")
	if l.Epoch() != 2 {
		t.Errorf("epoch %d", l.Epoch())
	}
	wantHeld(t, l)
	child.Kill()
}

func hostname(t *testing.T) string {
	t.Helper()
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	return host
}

// TestLeaseBetweenProcesses lets several processes do, one at a time, what two at
// a time would notice; some are killed while they may hold the lease.
func TestLeaseBetweenProcesses(t *testing.T) {
	if dir, ok := destinationtest.ChildJob(); ok {
		takeTurns(destinationtest.ChildContext(t), t, dirAt(t, dir))
		return
	}
	d := newDir(t)
	const processes, kills = 3, 3
	start := func() *destinationtest.Child {
		child, err := destinationtest.StartChild(t, d.String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		return child
	}
	var workers []*destinationtest.Child
	for range processes {
		workers = append(workers, start())
	}
	for range kills {
		victim := start()
		victim.Next()
		victim.Kill()
		for _, worker := range workers {
			worker.Next() // the others go on
		}
	}
	for _, worker := range workers {
		worker.Wait()
	}
}

// takeTurns holds the lease some times, and checks each time that it is alone:
// the name of the object it makes then is free, except for what a killed process
// has left.
func takeTurns(ctx context.Context, t *testing.T, d destination.Destination) {
	const turns = 10
	for done := 0; done < turns; {
		l, err := destination.AcquireLease(ctx, d, destination.LeaseOptions{Owner: "worker"})
		if fault.Is(err, fault.Locked) {
			time.Sleep(time.Millisecond) // another process holds it, with a clock of its own
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := beAlone(ctx, d, l); err != nil {
			t.Fatal(err)
		}
		if err := l.Release(ctx); err != nil {
			t.Fatal(err)
		}
		if err := destinationtest.Report("done"); err != nil {
			t.Fatal(err)
		}
		done++
	}
}

func beAlone(ctx context.Context, d destination.Destination, l *destination.Lease) error {
	own := fmt.Sprintf("turns/%d", l.Epoch())
	commit := func(name string, mode destination.Mode) error {
		w, err := d.Create(ctx, name, mode)
		if err != nil {
			return err
		}
		return w.Commit(ctx)
	}
	if err := commit(own, destination.Exclusive); err != nil {
		return err
	}
	for range 5 {
		if err := commit(own, destination.Replace); err != nil {
			return err
		}
		if err := l.Check(ctx); err != nil {
			return fmt.Errorf("while this process is alive: %w", err)
		}
		if err := removeOthers(ctx, d, own); err != nil {
			return err
		}
	}
	return d.Remove(ctx, own)
}

// removeOthers removes what killed processes left. A living process would find
// its own object gone.
func removeOthers(ctx context.Context, d destination.Destination, own string) error {
	return d.List(ctx, "turns", func(info destination.Info) error {
		if info.Name == own {
			return nil
		}
		return d.Remove(ctx, info.Name)
	})
}
