package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	badger "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/table"
	"google.golang.org/protobuf/proto"
)

// Badger's MANIFEST says which tables there are: eight bytes of magic and
// version, then sets of changes, each with its length and CRC-32C before it
// (manifest.go of Badger v4.9). Badger notes a set before its tables count, and
// removes them when that fails. When it was the fsync that failed, or the rest of
// a rewrite, the set may stand there all the same, and names tables that are
// gone, ghosts: no process can open the directory again.
//
// A set that failed can be taken out when its records are known to be elsewhere.
//   - One of a compaction: what it says to be removed was kept. When each of those
//     tables is there, or was compacted again by a later set, all records are.
//   - One of a flush, which is a single new table of level 0: the log of the
//     memtable is removed when a flush has succeeded and not before, so they stand
//     in it, or in the table of a later try. But this set looks like that of a good
//     table which somebody has removed. So it counts only when the process in which
//     it failed has noted so (ghosts.go).

const (
	manifestHeader = 8
	manifestCopy   = "MANIFEST.before-repair"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// changeSet is what Badger changes at once.
type changeSet []*pb.ManifestChange

// encode returns the set as it stands in the file.
func (s changeSet) encode() ([]byte, error) {
	body, err := proto.Marshal(&pb.ManifestChangeSet{Changes: s})
	if err != nil {
		return nil, err
	}
	text := binary.BigEndian.AppendUint32(nil, uint32(len(body))) //nolint:gosec // some tens of bytes a table
	return append(binary.BigEndian.AppendUint32(text, crc32.Checksum(body, castagnoli)), body...), nil
}

// tableSet are tables by id, as they were created.
type tableSet map[uint64]*pb.ManifestChange

// readManifest returns the header and the sets up to the first that is cut off,
// where Badger cuts the file.
func readManifest(dir string) (header []byte, sets []changeSet, err error) {
	text, err := os.ReadFile(filepath.Join(dir, badger.ManifestFilename))
	if err != nil {
		return nil, nil, err
	}
	if len(text) < manifestHeader {
		return nil, nil, errors.New("MANIFEST is shorter than its header")
	}
	header, rest := text[:manifestHeader], text[manifestHeader:]
	for len(rest) >= 8 {
		length, sum := int64(binary.BigEndian.Uint32(rest)), binary.BigEndian.Uint32(rest[4:])
		if length > int64(len(rest)-8) {
			break
		}
		body := rest[8 : 8+length]
		var set pb.ManifestChangeSet
		if crc32.Checksum(body, castagnoli) != sum {
			return nil, nil, fmt.Errorf("MANIFEST is damaged at byte %d", len(text)-len(rest))
		}
		if err := proto.Unmarshal(body, &set); err != nil {
			return nil, nil, fmt.Errorf("MANIFEST is damaged at byte %d: %w", len(text)-len(rest), err)
		}
		sets, rest = append(sets, set.Changes), rest[8+length:]
	}
	return header, sets, nil
}

// replay returns the tables that are there after the sets, without those that
// are left out.
func replay(sets []changeSet, leftOut map[int]bool) tableSet {
	tables := make(tableSet)
	for i, set := range sets {
		if leftOut[i] {
			continue
		}
		for _, change := range set {
			if change.Op == pb.ManifestChange_DELETE {
				delete(tables, change.Id) // a second time: see above
			} else {
				tables[change.Id] = change
			}
		}
	}
	return tables
}

// missing returns those of the tables that have no file, in ascending order.
func missing(dir string, tables tableSet) (ids []uint64, err error) {
	for _, id := range slices.Sorted(maps.Keys(tables)) {
		switch _, err := os.Stat(table.NewFilename(id, dir)); {
		case errors.Is(err, fs.ErrNotExist):
			ids = append(ids, id)
		case err != nil:
			return nil, err
		}
	}
	return ids, nil
}

// failedSets returns the sets to leave out so that no ghost is left, or the id of
// a table whose records may be lost. note is what the process has noted in which they failed.
func failedSets(sets []changeSet, ghosts []uint64, note *ghostNote) (failed map[int]bool, lost uint64, ok bool) {
	failed = make(map[int]bool)
	for i, set := range sets {
		if slices.Contains(note.Sets, set.digest()) {
			failed[i] = true
		}
	}
	for _, id := range ghosts {
		for i, set := range slices.Backward(sets) {
			created, removed := false, false
			for _, change := range set {
				created = created || change.Op == pb.ManifestChange_CREATE && change.Id == id
				removed = removed || change.Op == pb.ManifestChange_DELETE
			}
			if !created {
				continue
			}
			flushed := len(set) == 1 && set[0].Level == 0
			if !removed && (!flushed || !slices.Contains(note.Tables, id)) {
				return nil, id, false
			}
			failed[i] = true
			break
		}
	}
	return failed, 0, true
}

// writeManifest puts a MANIFEST of one set in the place of the old one, of which
// a copy stays.
func writeManifest(dir string, header []byte, tables tableSet) error {
	old, err := os.ReadFile(filepath.Join(dir, badger.ManifestFilename))
	if err != nil {
		return err
	}
	if err := writeSynced(filepath.Join(dir, manifestCopy), old); err != nil {
		return err
	}
	var set changeSet
	for _, id := range slices.Sorted(maps.Keys(tables)) {
		set = append(set, tables[id])
	}
	text, err := set.encode()
	if err != nil {
		return err
	}
	fresh := filepath.Join(dir, "MANIFEST-REWRITE") // Badger's own name for it
	if err := writeSynced(fresh, slices.Concat(header, text)); err != nil {
		return err
	}
	if err := os.Rename(fresh, filepath.Join(dir, badger.ManifestFilename)); err != nil {
		return err
	}
	return syncDir(dir)
}

func writeSynced(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
