package backup_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/backuptest"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/destination/destinationtest"
	"github.com/brockdb/brock/ee"
)

// recording keeps everything that was sent to a destination, what failed as
// well: whoever listens on the way has it all.
type recording struct {
	destination.Destination
	mu   sync.Mutex
	sent map[string][][]byte // by IV
}

func (r *recording) Create(ctx context.Context, name string, mode destination.Mode) (destination.Writer, error) {
	w, err := r.Destination.Create(ctx, name, mode)
	if err != nil || !strings.HasSuffix(name, ".backup") && !strings.HasSuffix(name, ".parts") {
		return w, err
	}
	return &recordingWriter{Writer: w, to: r}, nil
}

type recordingWriter struct {
	destination.Writer
	to   *recording
	sent bytes.Buffer
	once sync.Once
}

func (w *recordingWriter) Write(p []byte) (int, error) {
	w.sent.Write(p)
	return w.Writer.Write(p)
}

func (w *recordingWriter) keep() {
	w.once.Do(func() {
		w.to.mu.Lock()
		defer w.to.mu.Unlock()
		if b := w.sent.Bytes(); len(b) > ee.IVSize {
			iv := hex.EncodeToString(b[:ee.IVSize])
			w.to.sent[iv] = append(w.to.sent[iv], b)
		}
	})
}

func (w *recordingWriter) Commit(ctx context.Context) error {
	w.keep()
	return w.Writer.Commit(ctx)
}

func (w *recordingWriter) Abort() error {
	w.keep()
	return w.Writer.Abort()
}

// TestNoIVTwice fails a backup at many of its writes, and lets it run again with
// other data: of all that ever left the process, what has the same IV is the
// same, or a beginning of it.
func TestNoIVTwice(t *testing.T) {
	t.Parallel()
	d := backuptest.New(t, true, nil)
	faulty := destinationtest.NewFaulty(backuptest.OpenDir(t, t.TempDir()))
	r := &recording{Destination: faulty, sent: map[string][][]byte{}}
	use := func(b *backup.Backup) { b.Key, b.ChunkBytes, b.Workers = backuptest.Key(t, 32), 4<<10, 2 }
	var rules []destinationtest.Rule
	for _, late := range []bool{false, true} {
		for _, name := range []string{".backup", ".parts", "manifest.json"} {
			rules = append(rules, destinationtest.Rule{Op: destinationtest.OpCommit, Name: name, Nth: 1, Late: late})
		}
		for n := 1; n < 8; n += 2 {
			rules = append(rules, destinationtest.Rule{Op: destinationtest.OpWrite, Name: ".backup", Nth: n, Late: late})
		}
	}
	failed := 0
	for round, rule := range rules {
		for i := range 100 {
			d.Set(fmt.Sprintf("k%02d", i), backuptest.Entry{Value: fmt.Sprintf("%d %s", round, strings.Repeat("v", 200))})
		}
		rule.Err = errors.New("broken")
		faulty.Add(rule)
		if _, err := d.Job(r, use).Run(t.Context()); err != nil {
			failed++
		}
		faulty.Heal()
		if _, err := d.Job(r, use).Run(t.Context()); err != nil {
			t.Fatalf("the backup after one that failed: %v", err)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for iv, all := range r.sent {
		for _, b := range all {
			if other := all[0]; !bytes.HasPrefix(b, other) && !bytes.HasPrefix(other, b) {
				t.Errorf("the IV %s is of two different streams", iv)
			}
		}
	}
	if failed < len(rules)/2 || len(r.sent) < 3*len(rules) {
		t.Errorf("only %d of %d backups failed, and %d streams were sent", failed, len(rules), len(r.sent))
	}
}
