package store

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/brockdb/brock/systest/faultfs"
)

const (
	diskDirEnv     = "BROCK_STORE_DISK_DIR"
	diskWrites     = 220 // some flushes and compactions of small memtables
	diskKeys       = 150
	diskValueBytes = 96 << 10
	diskPatience   = 2 * time.Second // in the place of commitPatience
)

// diskText is hard to compress.
var diskText = sync.OnceValue(func() string {
	r := rand.New(rand.NewPCG(1, 2))
	text := make([]byte, diskValueBytes+1024)
	for i := range text {
		text[i] = '0' + byte(r.Uint32())&31
	}
	return string(text)
})

// diskValue is what write n stores, the same in each process.
func diskValue(n int) []byte {
	return fmt.Appendf(nil, `"%d %s"`, n, diskText()[n:n+diskValueBytes])
}

func diskKey(n int) string { return fmt.Sprintf("k%03d", n%diskKeys) }

// diskChild writes until it has failed or is done, and says what was
// acknowledged. It ends as an alpha does.
func diskChild(dir string) error {
	s, err := Open(testOptions(dir))
	if err != nil {
		return err
	}
	s.disk.patience, s.disk.closePatience = diskPatience, diskPatience/4
	fmt.Println("open")
	for n := 1; n <= diskWrites; n++ {
		b := &Batch{Puts: []Put{{Collection: "c", Key: diskKey(n), Value: diskValue(n)}}}
		if _, err = s.Propose(context.Background(), b); err != nil {
			break
		}
		fmt.Println(n)
	}
	if err != nil && s.Disk().Failed == nil {
		return fmt.Errorf("a write failed, and the store says that all is well: %w", err)
	}
	if err == nil { // Badger may still be at work, and fail
		select {
		case <-s.Broken():
		case <-time.After(300 * time.Millisecond):
		}
	}
	fmt.Printf("end %q\n", fmt.Sprint(s.Disk().Failed, s.Close()))
	return nil
}

// runDiskChild returns the last write that was acknowledged and what the child
// said at its end. fault is called when the store is open.
func runDiskChild(t *testing.T, dir string, fault func()) (acknowledged int, end string) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^$")
	child.Env = append(os.Environ(), diskDirEnv+"="+dir)
	var stderr strings.Builder
	child.Stderr = &stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	deadline := time.AfterFunc(time.Minute, func() { _ = child.Process.Kill() })
	defer deadline.Stop()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		switch line := lines.Text(); {
		case line == "open":
			fault()
		case strings.HasPrefix(line, "end"):
			end = line
		default:
			if _, err := fmt.Sscan(line, &acknowledged); err != nil {
				t.Errorf("the child says %q", line)
			}
		}
	}
	// A page of a mapped file that cannot be read or written ends the process.
	if err := child.Wait(); err != nil {
		end = fmt.Sprintf("ended: %v: %.300s", err, stderr.String())
	}
	return acknowledged, end
}

// checkDisk opens the directory again and expects all that was acknowledged.
func checkDisk(t *testing.T, dir string, acknowledged int) {
	t.Helper()
	s, err := Open(testOptions(dir))
	if err != nil {
		t.Errorf("it cannot be opened again: %v", err)
		return
	}
	defer closeStore(t, s)
	got := map[string]string{}
	if acknowledged > 0 {
		got = now(t, s, "c")
	}
	for n := max(1, acknowledged-diskKeys+1); n <= acknowledged; n++ {
		value := got[diskKey(n)]
		if value != string(diskValue(n)) && (acknowledged+1-n != diskKeys || value != string(diskValue(acknowledged+1))) {
			t.Errorf("write %d of %d is not there: %d bytes", n, acknowledged, len(value))
		}
	}
	put(t, s, "after", "k", "1")
}

// diskCase is a call that fails once, or from then on.
type diskCase struct {
	op      faultfs.Op
	of      string // ends the names of the files it is about
	nth     int    // 0: from the first on, for ever
	errno   syscall.Errno
	matters bool // the store must fail, whoever makes the call
}

// diskCases are each kind of call that Badger makes: in the write-ahead log, the
// value log, the tables of flushes (the first) and of compactions, and the
// MANIFEST; and a disk that is gone for good.
var diskCases = []diskCase{
	{faultfs.Fsync, ".vlog", 170, syscall.EIO, true},
	{faultfs.Create, ".mem", 1, syscall.ENOSPC, true},
	{faultfs.Create, ".sst", 1, syscall.ENOSPC, false},
	{faultfs.Create, ".sst", 5, syscall.ENOSPC, false},
	{faultfs.Write, ".sst", 110, syscall.EIO, false},
	{faultfs.Fsync, "MANIFEST", 1, syscall.EIO, true},
	{faultfs.Fsync, "MANIFEST", 2, syscall.EIO, true},
	{faultfs.Write, "MANIFEST", 2, syscall.ENOSPC, true},
	{faultfs.Fsync, "", 0, syscall.EIO, true},
	{faultfs.Create, "", 0, syscall.EROFS, true},
}

// TestDiskFails makes calls of the disk fail in turn, while a store writes,
// flushes and compacts: the writes are refused, or done, and after a new start
// all that was acknowledged is there.
func TestDiskFails(t *testing.T) {
	t.Parallel()
	f := faultfs.Mount(t)
	const well = `end "<nil> <nil>"`
	repaired := 0
	for _, c := range diskCases {
		name := fmt.Sprintf("%s%s%d", c.op, c.of, c.nth)
		t.Run(name, func(t *testing.T) {
			dir, back := f.Dir+"/d"+name, f.Back+"/d"+name
			f.Heal()
			n, end := runDiskChild(t, dir, func() {
				if c.nth == 0 {
					f.Fail(c.op, c.errno)
				} else {
					f.FailNthOf(c.op, c.of, c.nth, c.errno)
				}
			})
			hit := f.Count(c.op) >= max(1, c.nth)
			f.Heal()
			t.Logf("%d writes, %.300s", n, end)
			if !hit || c.matters && end == well {
				t.Errorf("it ended as if nothing had happened; the call was made: %v", hit)
			}
			checkDisk(t, back, n)
			if _, err := os.Stat(back + "/" + manifestCopy); err == nil {
				repaired++
			}
			if err := os.RemoveAll(back); err != nil {
				t.Error(err)
			}
		})
	}
	if repaired < 3 {
		t.Errorf("the MANIFEST was repaired %d times", repaired)
	}
}
