package backup

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strconv"

	"github.com/brockdb/brock/backup/archive"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
)

// A backup that was cut off goes on when it is asked for again at the same
// destination. That takes three things: the source has kept the snapshot
// readable, the parts are still there, and what was noted of them beside them
// (notes.go) is what this database wrote. Where one is missing, the backup
// begins afresh, and Progress says why.

// Resumer is a Source whose snapshots can be opened again after a backup, or the
// whole process, was cut off.
type Resumer interface {
	Source

	// Hold keeps everything readable that is visible at h.ReadTs, whose snapshot
	// is still open, and deletes after h.Since; whether or not the process
	// survives. It replaces what was held for h.Destination.
	Hold(ctx context.Context, h Held) error

	// Held returns what is held for a destination.
	Held(destination string) (Held, bool)

	// Reopen opens the snapshot at h.ReadTs once more, or returns the reason why
	// not all of it can be read any more.
	Reopen(ctx context.Context, h Held) (snap *Snapshot, reason string, err error)

	// Release lets go what is held for a destination.
	Release(ctx context.Context, destination string) error
}

// Held is what a source remembers of a backup that is being made, and all that
// is needed to go on with it.
type Held struct {
	Destination string `json:"destination"` // canonical URI
	BackupID    string `json:"backup_id"`
	BackupNum   int    `json:"backup_num"`
	Folder      string `json:"folder"`
	Group       uint32 `json:"group"`
	Since       uint64 `json:"since"`
	ReadTs      uint64 `json:"read_ts"`
	Parent      string `json:"parent,omitempty"` // SHA-256 of the manifest before
	KeyID       string `json:"key_id,omitempty"`
	AllVersions bool   `json:"all_versions,omitempty"`
	Reason      string `json:"reason,omitempty"` // why a full
	Seal        Seal   `json:"seal"`
}

// Seal is what the notes at the destination are authenticated with: random,
// known to the database that is backed up and to nobody else. It prints as
// "[redacted]".
type Seal [32]byte

func newSeal() (s Seal) {
	_, _ = rand.Read(s[:]) // never fails: crypto/rand aborts the program instead
	return s
}

// String returns "[redacted]".
func (Seal) String() string { return "[redacted]" }

// GoString returns "[redacted]".
func (Seal) GoString() string { return "[redacted]" }

// Format writes "[redacted]" whatever the verb.
func (Seal) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[redacted]")) }

// MarshalText returns hex, for the database's own record.
func (s Seal) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, s[:]), nil }

// UnmarshalText reads hex.
func (s *Seal) UnmarshalText(text []byte) error {
	raw, err := hex.DecodeString(string(text))
	if err == nil && len(raw) != len(s) {
		err = fmt.Errorf("a seal has %d bytes, not %d", len(s), len(raw))
	}
	if err == nil {
		copy(s[:], raw)
	}
	return err
}

// resumed is a backup that goes on.
type resumed struct {
	held     Held
	snap     *Snapshot
	parts    []archive.Part // that are stored and sound, by key
	nextPart int            // number for a new part
	nextNote int
	stuck    string // an object that would pass for one of the backup's, and must not be removed
}

// held returns what the source holds for the destination.
func (b *Backup) held() (Resumer, *Held) {
	r, ok := b.Source.(Resumer)
	if !ok {
		return nil, nil
	}
	if h, ok := r.Held(b.Destination.String()); ok {
		return r, &h
	}
	return r, nil
}

// resume opens the backup that was cut off, or returns nil where there is none
// or where it cannot go on.
func (b *Backup) resume(ctx context.Context, l *Listing, p *plan, r Resumer, held *Held) (*resumed, error) {
	if held == nil {
		return nil, nil
	}
	if stored := storedBackup(l, held.Folder); stored {
		// It was cut off between its manifest and the end.
		if err := removeNotes(ctx, b.Destination, held.Folder); err != nil {
			return nil, err
		}
		return nil, fault.Wrap(r.Release(ctx, held.Destination), "let the snapshot of backup %s go", held.Folder)
	}
	reason := b.unfit(held, l, p)
	var snap *Snapshot
	var err error
	if reason == "" {
		snap, reason, err = r.Reopen(ctx, *held)
	}
	if err != nil {
		return nil, fault.Wrap(err, "open the snapshot of backup %s again", held.Folder)
	}
	var old *resumed
	if reason == "" {
		old, err = b.reuse(ctx, *held, snap)
		switch {
		case err != nil:
		case old.stuck != "":
			reason = old.stuck + " is left of it and may not be removed"
		case len(old.parts) == 0:
			reason = "no finished part of it is left"
		}
		if err != nil || reason != "" {
			snap.Close()
		}
	}
	switch {
	case err != nil:
		return nil, fault.Wrap(err, "go on with backup %s", held.Folder)
	case reason != "":
		b.Progress.Resume(Resumed{Afresh: reason})
		return nil, fault.Wrap(r.Release(ctx, held.Destination), "give backup %s up", held.Folder)
	}
	return old, nil
}

func storedBackup(l *Listing, folder string) bool {
	for _, s := range l.Series {
		for _, m := range s.Members {
			if m.Path == folder {
				return true
			}
		}
	}
	return false
}

// unfit says why the backup that was cut off is not the one asked for now.
func (b *Backup) unfit(held *Held, l *Listing, p *plan) string {
	parent := ""
	if p.parent != nil {
		parent = p.parent.Digest
	}
	switch {
	case !slices.Contains(l.Unfinished, held.Folder):
		return "its folder is gone"
	case held.Parent != parent:
		return "it was planned as another backup than the one asked for now"
	case held.Group != b.Group || held.AllVersions != b.AllVersions:
		return "it was made with other settings"
	case held.KeyID != b.Key.ID():
		return "it was made with another key"
	}
	return ""
}

// reuse reads the notes, verifies the parts that they name, and removes
// everything else that is in the folder. Where that may not be removed, the
// backup cannot go on there: its objects are counted.
func (b *Backup) reuse(ctx context.Context, held Held, snap *Snapshot) (*resumed, error) {
	b.Progress.Enter(PhaseResume)
	names, err := ownObjects(ctx, b.Destination, held.Folder)
	if err != nil {
		return nil, err
	}
	old := &resumed{held: held, snap: snap, nextPart: 1, nextNote: 1}
	var noted []archive.Part
	keep := make(map[string]bool)
	for _, name := range names {
		old.count(path.Base(name))
		if !notePattern.MatchString(path.Base(name)) {
			continue
		}
		parts, err := b.readNote(ctx, &held, name)
		if err != nil {
			return nil, err
		}
		keep[name] = len(parts) > 0
		noted = append(noted, parts...)
	}
	if old.parts, err = b.verifyParts(ctx, held.Folder, noted); err != nil {
		return nil, err
	}
	var saved Resumed
	for i := range old.parts {
		p := &old.parts[i]
		keep[path.Join(held.Folder, p.Name)] = true
		saved.Parts++
		saved.StoredBytes += p.StoredBytes
	}
	for _, name := range names {
		if keep[name] {
			continue
		}
		err := b.Destination.Remove(ctx, name)
		switch isNote := notePattern.MatchString(path.Base(name)); {
		case err == nil || fault.Is(err, fault.NotFound) || isNote && fault.Is(err, fault.Denied):
		case fault.Is(err, fault.Denied):
			old.stuck = name
			return old, nil
		default:
			return nil, err
		}
	}
	if err := destination.RemoveDebris(ctx, b.Destination, held.Folder); err != nil && !fault.Is(err, fault.Denied) {
		return nil, err
	}
	if saved.Parts > 0 {
		b.Progress.Resume(saved)
	}
	return old, nil
}

// count moves the next numbers beyond the one of an object that is there.
func (o *resumed) count(base string) {
	if m := notePattern.FindStringSubmatch(base); m != nil {
		n, _ := strconv.Atoi(m[1]) // digits
		o.nextNote = max(o.nextNote, n+1)
	}
	if m := partNumber.FindStringSubmatch(base); m != nil {
		n := 1
		if m[1] != "" {
			n, _ = strconv.Atoi(m[1])
		}
		o.nextPart = max(o.nextPart, n+1)
	}
}

// removeObject removes what may be gone already, and leaves what must not be
// removed.
func removeObject(ctx context.Context, d destination.Destination, name string) error {
	err := d.Remove(ctx, name)
	if fault.Is(err, fault.NotFound) || fault.Is(err, fault.Denied) {
		return nil
	}
	return err
}

// manifest returns the manifest as far as it is known before the scan.
func (o *resumed) manifest(b *Backup) *manifest.Manifest {
	h := &o.held
	created, _ := manifest.FolderTime(h.Folder) // it is listed, so it is one
	m := &manifest.Manifest{
		Type: manifest.Full, BackupID: h.BackupID, BackupNum: h.BackupNum, Reason: h.Reason,
		Path: h.Folder, CreatedAt: created, Since: h.Since, Parent: h.Parent,
		Encrypted: !b.Key.IsZero(), KeyID: b.Key.ID(), Compression: manifest.CompressionGzip,
		Version: manifest.FormatVersion, DBID: b.Source.Identity(), AllVersions: b.AllVersions,
	}
	if h.Parent != "" {
		m.Type = manifest.Incremental
	}
	return m
}
