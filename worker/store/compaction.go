package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	_ "unsafe" // for go:linkname

	badger "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/pb"
)

// When Badger cannot make one of the tables of a compaction, it drops the error
// (levels.go of v4.9.6 evaluates `defer inflightBuilders.Done(err)` before err is
// set), writes the others down, and removes those that they were made of: records
// are lost without a word. Nothing in its interface can keep it from that. But
// each table it sets out to make is in its debug log, and what it calls to sync
// the MANIFEST, after a compaction is noted there and before anything is removed,
// is a variable. There the tables are counted. A compaction that lacks one fails,
// and with it the store: its inputs are all there, and are taken up again when the
// store is opened (manifest.go).

// badgerSync is what Badger syncs its MANIFEST with.
//
//go:linkname badgerSync github.com/dgraph-io/badger/v4.syncFunc
var badgerSync func(*os.File) error

// init comes before any database is open, whose goroutines read the variable.
func init() { //nolint:gochecknoinits // see above
	sync := badgerSync
	badgerSync = func(f *os.File) error {
		if c, ok := compactionsOf.Load(f.Name()); ok {
			if err := c.(*compactions).check(); err != nil {
				return err
			}
		}
		return sync(f)
	}
}

// compactionsOf are the open stores, by the path of their MANIFEST, as *compactions.
var compactionsOf sync.Map //nolint:gochecknoglobals // Badger has one variable for all databases

// compactions counts the tables that the compactions of a store set out to make.
type compactions struct {
	ghosts *ghostbook
	lost   func(error) // is told of one that lacks tables

	mu    sync.Mutex
	begun map[string]int // tables, by the goroutine that runs the compaction
}

// compactionBuilt is how Badger begins its debug line about a table that it is
// going to make, from a goroutine that the one of the compaction has started.
const compactionBuilt = "[%d] LOG Compact. Added %d keys."

// watch begins to look at what is noted in the MANIFEST, until the returned
// function is called. A directory that another store has open stays that one's.
func (c *compactions) watch() (unwatch func()) {
	path := filepath.Join(c.ghosts.dir, badger.ManifestFilename)
	if _, open := compactionsOf.LoadOrStore(path, c); open {
		return func() {}
	}
	return func() { compactionsOf.Delete(path) }
}

// debug is told a line of Badger's debug log.
func (c *compactions) debug(format string, args []any) {
	if !strings.HasPrefix(format, compactionBuilt) || len(args) < 2 || args[1] == any(uint64(0)) {
		return
	}
	_, parent := goroutine()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begun[parent]++
}

// failed forgets the compaction of this goroutine, which Badger says has failed.
func (c *compactions) failed() {
	self, _ := goroutine()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.begun, self)
}

// check looks at the set that this goroutine has just added to the MANIFEST.
func (c *compactions) check() error {
	self, _ := goroutine()
	c.mu.Lock()
	begun := c.begun[self]
	delete(c.begun, self)
	c.mu.Unlock()
	if begun == 0 {
		return nil // a flush
	}
	_, sets, err := readManifest(c.ghosts.dir)
	if err != nil || len(sets) <= 1 { // Badger has just written it anew, in one set
		return err
	}
	set := sets[len(sets)-1]
	made := 0
	for _, change := range set {
		if change.Op == pb.ManifestChange_CREATE {
			made++
		}
	}
	if made >= begun {
		return nil
	}
	err = fmt.Errorf("a compaction could make %d of %d tables only, for a reason that Badger does not tell", made, begun)
	c.lost(err)
	if noted := c.ghosts.undo(set, err); noted != nil {
		err = fmt.Errorf("%w; nor could that be noted: %w", err, noted)
	}
	return err
}

// digest names a set.
func (s changeSet) digest() string {
	h := sha256.New()
	for _, change := range s {
		_, _ = fmt.Fprintln(h, change.Op, change.Id, change.Level, change.KeyId, change.Compression)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// goroutine returns the number of this goroutine and of the one that started it,
// as traces show them: "goroutine 7 [running]: … created by f in goroutine 5".
func goroutine() (self, parent string) {
	buf := make([]byte, 64<<10)
	trace := buf[:runtime.Stack(buf, false)]
	if fields := bytes.Fields(trace[:min(len(trace), 64)]); len(fields) > 1 {
		self = string(fields[1])
	}
	if at := bytes.LastIndex(trace, []byte(" in goroutine ")); at >= 0 {
		if fields := bytes.Fields(trace[at+len(" in goroutine "):]); len(fields) > 0 {
			parent = string(fields[0])
		}
	}
	return self, parent
}
