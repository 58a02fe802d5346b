package store

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/brockdb/brock/backup/fault"
)

// The spaces of local records that are the store's own.
const (
	spaceStore  = "store"
	spaceSeries = "series" // key: backup id
	spaceReap   = "reap"   // key: collection id
	// spaceRestoring names what a restoration is filling, until its end.
	spaceRestoring = "restoring"
)

func ownSpace(space string) bool {
	return space == spaceStore || space == spaceSeries || space == spaceReap || space == spaceRestoring
}

// Keys in spaceStore.
const (
	keyIdentity  = "identity"  // identity
	keyCommit    = "commit"    // the newest commit that deleted something
	keyMarker    = "marker"    // rewritten by every backup, see Begin
	keyRewriting = "rewriting" // there while a value log file is rewritten
	keyRestored  = "restored"  // restoreMark
)

// formatVersion is raised when a store written by this code can no longer be
// read by the code before it.
const formatVersion = 1

// identity says whose directory it is.
type identity struct {
	Format int    `json:"format"`
	DBID   string `json:"db_id"` // 32 hex digits, random
	Group  uint32 `json:"group"`
}

// restoreMark says what a restored directory was restored to. Versions and
// uids up to these were used by the database it is a restore of.
type restoreMark struct {
	ReadTs uint64 `json:"read_ts"`
	MaxUID uint64 `json:"max_uid"`
}

func newIdentity(group uint32) identity {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails: crypto/rand aborts the program instead
	return identity{formatVersion, hex.EncodeToString(id[:]), group}
}

// GroupError is the cause of Open's refusal of another group's directory.
type GroupError struct {
	Dir  string
	Have uint32 // the group the directory belongs to
	Want uint32 // the group it was opened for
}

// Error says both groups.
func (e *GroupError) Error() string {
	return fmt.Sprintf("it belongs to group %d, not to group %d", e.Have, e.Want)
}

// check returns an error unless the store may be opened for group.
func (id identity) check(dir string, group uint32) error {
	op := "open store " + dir
	switch {
	case id.Format > formatVersion:
		return fault.New(fault.Usage, op, "its format is %d; this program knows up to %d", id.Format, formatVersion).
			WithHint("use the program that wrote it, or a newer one")
	case id.Format < 1 || id.DBID == "" || id.Group == 0:
		return fault.New(fault.Corrupt, op, "its identity record is incomplete")
	case id.Group != group:
		return fault.New(fault.Mixed, op, "%w", &GroupError{dir, id.Group, group}).
			WithHint("start the alpha with --group %d, or with the directory of group %d", id.Group, group)
	}
	return nil
}

// Record is a stored key and value.
type Record struct {
	Key   []byte
	Value []byte
}

// RestoreMarks returns the local records that a restored directory must hold
// for Open to accept it: a database id of its own, the group, and the version
// and uid above which the restored database goes on. They are to be written at
// version readTs, next to what the backups held.
func RestoreMarks(group uint32, readTs, maxUID uint64) ([]Record, error) {
	if group == 0 || readTs == 0 {
		return nil, fault.New(fault.Usage, "mark restored directory", "group %d and version %d: neither may be 0", group, readTs)
	}
	var records []Record
	for key, value := range map[string]any{
		keyIdentity: newIdentity(group),
		keyCommit:   readTs,
		keyRestored: restoreMark{readTs, maxUID},
	} {
		record, err := markRecord(key, value)
		if err != nil {
			return nil, fault.Wrap(err, "mark restored directory")
		}
		records = append(records, record)
	}
	slices.SortFunc(records, func(a, b Record) int { return bytes.Compare(a.Key, b.Key) })
	return records, nil
}

// markRecord is one of the store's own records.
func markRecord(key string, value any) (Record, error) {
	encoded, err := json.Marshal(value)
	return Record{localKey(spaceStore, key), encoded}, err
}

// readMark decodes one of the store's own records into value and reports
// whether it is there.
func (r reader) readMark(key string, value any) (bool, error) {
	encoded, _, ok, err := r.get(localKey(spaceStore, key))
	if err != nil || !ok {
		return false, err
	}
	if err := json.Unmarshal(encoded, value); err != nil {
		return false, fault.New(fault.Corrupt, "read mark "+key, "%w", err)
	}
	return true, nil
}
