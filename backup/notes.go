package backup

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/brockdb/brock/backup/archive"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/ee"
)

// While a backup runs, it notes beside its parts which of them are finished: a
// note is HMAC-SHA-256 under Held.Seal over a label, the object's name and the
// rest; the rest is a part list of the parts finished since the note before,
// encrypted when the backup is. Notes are removed when the manifest is stored.
// They are no part of the format: nobody but the database that wrote them can
// use them.

const (
	noteLabel = "brock resume note 2\n"
	// maxNote bounds a note that is read.
	maxNote = 256 << 20
	// DefaultNoteInterval is how often at most a backup notes what is finished.
	DefaultNoteInterval = time.Second
)

var (
	notePattern = regexp.MustCompile(`^resume\.([0-9]{4,9})$`)
	partNumber  = regexp.MustCompile(`^r[0-9]+-g[0-9]+(?:\.([0-9]{4,9}))?\.backup$`)
)

func noteName(n int) string { return fmt.Sprintf("resume.%04d", n) }

func (h *Held) listHead() archive.ListHead {
	return archive.ListHead{BackupID: h.BackupID, Group: h.Group, Since: h.Since, ReadTs: h.ReadTs}
}

// encodeNote returns the bytes of the note called name.
func encodeNote(h *Held, name string, parts []archive.Part, key ee.Key) ([]byte, error) {
	list, err := archive.EncodeList(&archive.List{Head: h.listHead(), Parts: parts}, key)
	if err != nil {
		return nil, err
	}
	return append(noteMAC(h, name, list), list...), nil
}

// decodeNote reads a note, which may come from anybody.
func decodeNote(h *Held, name string, data []byte, key ee.Key) ([]archive.Part, error) {
	if len(data) < sha256.Size {
		return nil, fmt.Errorf("it has %d bytes", len(data))
	}
	mac, list := data[:sha256.Size], data[sha256.Size:]
	if !hmac.Equal(mac, noteMAC(h, name, list)) {
		return nil, fmt.Errorf("this database did not write it, or it was altered")
	}
	l, err := archive.DecodeList(list, key, h.listHead())
	if err != nil {
		return nil, err
	}
	return l.Parts, nil
}

func noteMAC(h *Held, name string, list []byte) []byte {
	mac := hmac.New(sha256.New, h.Seal[:])
	mac.Write([]byte(noteLabel + name + "\n"))
	mac.Write(list)
	return mac.Sum(nil)
}

// readNote returns the parts that a note names, none for a note that cannot be
// used: its parts are made again.
func (b *Backup) readNote(ctx context.Context, h *Held, name string) ([]archive.Part, error) {
	data, err := readObject(ctx, b.Destination, name, maxNote)
	if fault.Is(err, fault.NotFound) || fault.Is(err, fault.Corrupt) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	parts, err := decodeNote(h, name, data, b.Key)
	if err != nil {
		return nil, nil // another's, or damaged
	}
	return parts, nil
}

// verifyParts returns those of the parts whose stored bytes are what was noted,
// by key. It reads every byte.
func (b *Backup) verifyParts(ctx context.Context, folder string, noted []archive.Part) ([]archive.Part, error) {
	good := make([]bool, len(noted))
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(b.Workers)
	for i := range noted {
		group.Go(func() (err error) {
			good[i], err = intact(gctx, b.Destination, path.Join(folder, noted[i].Name), noted[i].StoredBytes, archive.NewPartSum(&noted[i]))
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var parts []archive.Part
	for i, p := range noted {
		if good[i] {
			parts = append(parts, p)
		}
	}
	slices.SortFunc(parts, func(a, b archive.Part) int { return bytes.Compare(a.FirstKey, b.FirstKey) })
	for i := 1; i < len(parts); i++ {
		if bytes.Compare(parts[i-1].LastKey, parts[i].FirstKey) >= 0 {
			return nil, fault.New(fault.Corrupt, "use the parts of "+folder, "the keys of %s and %s overlap", parts[i-1].Name, parts[i].Name).
				WithHint("remove the folder; the backup then begins afresh")
		}
	}
	return parts, nil
}

// intact reports whether an object is there with that size and what sum is of.
func intact(ctx context.Context, d destination.Destination, name string, size int64, sum checksum) (bool, error) {
	info, err := d.Stat(ctx, name)
	if fault.Is(err, fault.NotFound) {
		return false, nil
	}
	if err != nil || info.Size != size {
		return false, err
	}
	body, err := d.Open(ctx, name, 0, size)
	if err != nil {
		return false, err
	}
	n, err := io.Copy(sum, body)
	if err := errors.Join(err, body.Close()); err != nil {
		return false, fault.Wrap(err, "read %s", name)
	}
	return n == size && sum.Good(), nil
}

// removeNotes removes the notes in a folder.
func removeNotes(ctx context.Context, d destination.Destination, folder string) error {
	names, err := ownObjects(ctx, d, folder)
	for _, name := range names {
		if err == nil && notePattern.MatchString(path.Base(name)) {
			err = removeObject(ctx, d, name)
		}
	}
	return fault.Wrap(err, "remove the notes of backup %s", folder)
}

// noter notes finished parts. Its methods may be called from many goroutines;
// those of a nil noter do nothing.
type noter struct {
	source Resumer
	dest   destination.Destination
	key    ee.Key
	every  time.Duration
	held   Held

	mu      sync.Mutex
	holds   bool // the source has been told
	noted   bool // a note is, or may be, stored
	writing bool
	last    time.Time
	next    int
	parts   []archive.Part
}

// newNoter returns nil where nothing is to be noted.
func (b *Backup) newNoter(h Held, old *resumed) *noter {
	source, ok := b.Source.(Resumer)
	if !ok || b.NoteInterval < 0 {
		return nil
	}
	n := &noter{source: source, dest: b.Destination, key: b.Key, held: h, last: time.Now(), next: 1,
		every: cmp.Or(b.NoteInterval, DefaultNoteInterval)}
	if old != nil {
		n.held, n.holds, n.noted, n.next = old.held, true, true, old.nextNote
	}
	return n
}

// finished notes a stored part, now or together with later ones.
func (n *noter) finished(ctx context.Context, p archive.Part) error {
	if n == nil {
		return nil
	}
	n.mu.Lock()
	n.parts = append(n.parts, p)
	if n.writing || time.Since(n.last) < n.every {
		n.mu.Unlock()
		return nil
	}
	n.writing = true
	parts, number := n.parts, n.next
	n.parts = nil
	n.next++
	n.mu.Unlock()
	err := n.write(ctx, parts, number)
	n.mu.Lock()
	n.writing, n.last = false, time.Now()
	n.mu.Unlock()
	return err
}

// write stores a note. What it promises must be held before.
func (n *noter) write(ctx context.Context, parts []archive.Part, number int) error {
	if !n.holds {
		if err := n.source.Hold(ctx, n.held); err != nil {
			return fault.Wrap(err, "keep the snapshot readable")
		}
		n.holds = true
	}
	name := path.Join(n.held.Folder, noteName(number))
	data, err := encodeNote(&n.held, name, parts, n.key)
	if err != nil {
		return err
	}
	n.noted = true
	return fault.Wrap(storeObject(ctx, n.dest, name, data), "note the parts that are finished in %s", name)
}

// end removes the notes of a backup that is stored. Until they are gone the
// snapshot stays held, so that the next backup knows of them.
func (n *noter) end(ctx context.Context) error {
	if n == nil || !n.holds {
		return nil
	}
	if err := removeNotes(ctx, n.dest, n.held.Folder); err != nil {
		return err
	}
	return n.release(ctx)
}

// keeps reports whether the backup can go on later although it failed: it was
// cut off by a storage that does not answer or a lease that could not be
// renewed, not refused, damaged or stopped on request.
func (n *noter) keeps(err error) bool {
	if n == nil || !n.noted {
		return false
	}
	kind := fault.KindOf(err)
	return kind == fault.Other || kind == fault.Locked
}

// release lets the snapshot go of a backup that cannot go on.
func (n *noter) release(ctx context.Context) error {
	if n == nil || !n.holds {
		return nil
	}
	return n.source.Release(ctx, n.held.Destination)
}
