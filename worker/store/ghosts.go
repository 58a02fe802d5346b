package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/dgraph-io/badger/v4/table"

	"github.com/brockdb/brock/backup/fault"
)

// ghostsName is the note that a process leaves in the directory when a change of
// Badger's MANIFEST failed: it alone knows that tables which are named there and
// have no file are of a flush that failed.
const ghostsName = "BROCK-GHOSTS"

// ghostNote is that file.
type ghostNote struct {
	Tables       []uint64 `json:"tables"`
	Sets         []string `json:"sets,omitempty"` // digests of sets of compactions that lack tables
	Acknowledged uint64   `json:"acknowledged"`   // commit ts that must be there
	Error        string   `json:"error"`
}

// ghostbook keeps the note. Badger flushes and compacts in several goroutines.
type ghostbook struct {
	dir          string
	acknowledged func() uint64 // the newest commit

	mu   sync.Mutex
	note ghostNote
}

// undo notes that a set of a compaction must be taken out.
func (b *ghostbook) undo(set changeSet, cause error) error {
	b.mu.Lock()
	b.note.Sets = append(b.note.Sets, set.digest())
	b.mu.Unlock()
	return b.write(cause)
}

// write notes the ghosts that are there now. A table that stands in the MANIFEST
// before and after it was found to have no file was not removed by a compaction:
// that notes first and removes then.
func (b *ghostbook) write(cause error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, before, err := readManifest(b.dir)
	if err != nil {
		return err
	}
	gone, err := missing(b.dir, replay(before, nil))
	if err != nil {
		return err
	}
	_, after, err := readManifest(b.dir)
	if err != nil {
		return err
	}
	still := replay(after, nil)
	for _, id := range gone {
		if still[id] != nil && !slices.Contains(b.note.Tables, id) {
			b.note.Tables = append(b.note.Tables, id)
		}
	}
	b.note.Acknowledged, b.note.Error = b.acknowledged(), cause.Error()
	text, err := json.Marshal(b.note)
	if err != nil {
		return err
	}
	// On this disk fsync may fail; what is written is there unless the power is cut.
	return errors.Join(writeSynced(filepath.Join(b.dir, ghostsName), text), syncDir(b.dir))
}

// readGhosts returns the note, or nil when there is none.
func readGhosts(dir string) (*ghostNote, error) {
	text, err := os.ReadFile(filepath.Join(dir, ghostsName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	note := new(ghostNote)
	if json.Unmarshal(text, note) != nil { // it was cut off: it proves nothing
		return new(ghostNote), nil
	}
	return note, nil
}

// layGhosts looks whether all tables that the MANIFEST names are there, and takes
// out what failed where nothing is lost by it. It returns the commit ts that must
// be found then; 0 when nothing was noted. The directory's lock must be held.
func layGhosts(dir string, log Logger) (acknowledged uint64, err error) {
	header, sets, err := readManifest(dir)
	if err != nil {
		return 0, &fault.Error{Kind: fault.Corrupt, Op: "read the list of tables", Err: err, Hint: restoreHint}
	}
	note, err := readGhosts(dir)
	if err != nil {
		return 0, err
	}
	tables := replay(sets, nil)
	ghosts, err := missing(dir, tables)
	if err != nil || len(ghosts) == 0 && note == nil {
		return 0, err
	}
	if note == nil {
		note = new(ghostNote)
	}
	acknowledged = note.Acknowledged
	if len(ghosts)+len(note.Sets) > 0 {
		if tables, err = withoutGhosts(dir, sets, ghosts, note); err != nil {
			return 0, err
		}
		log.Warningf("the disk of %s has failed: tables that were not finished are taken out of the MANIFEST, and those that they were made of are taken up again; nothing is lost (the old one is %s)", dir, manifestCopy)
	}
	// Even without ghosts: what was written when an fsync failed may not be on disk.
	if err := writeManifest(dir, header, tables); err != nil {
		return 0, fmt.Errorf("write MANIFEST anew: %w", err)
	}
	// Before ids of ghosts are used again.
	if err := os.Remove(filepath.Join(dir, ghostsName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	return acknowledged, syncDir(dir)
}

const restoreHint = "keep this directory, and restore the newest backup into another one: brock restore"

// withoutGhosts returns the tables without those of sets that failed.
func withoutGhosts(dir string, sets []changeSet, ghosts []uint64, note *ghostNote) (tables tableSet, err error) {
	refuse := func(ids ...uint64) error {
		return fault.New(fault.Corrupt, "use the tables of "+dir, "its MANIFEST names %s, which is gone, and its records may be nowhere else", tableNames(ids)).
			WithHint(restoreHint)
	}
	failed, lost, ok := failedSets(sets, ghosts, note)
	if !ok {
		return nil, refuse(lost)
	}
	tables = replay(sets, failed)
	gone, err := missing(dir, tables)
	if err == nil && len(gone) > 0 {
		err = refuse(gone...)
	}
	return tables, err
}

func tableNames(ids []uint64) string {
	const most = 10
	var names []string
	for _, id := range ids[:min(len(ids), most)] {
		names = append(names, filepath.Base(table.NewFilename(id, "")))
	}
	if len(ids) > most {
		names = append(names, fmt.Sprintf("and %d more", len(ids)-most))
	}
	return strings.Join(names, ", ")
}
