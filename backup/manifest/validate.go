package manifest

import (
	"fmt"
	"math"
	"regexp"
	"time"
)

var (
	folderPattern   = regexp.MustCompile(`^brock\.[0-9]{8}\.[0-9]{6}\.[0-9]{3}$`)
	backupIDPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)
	sha256Pattern   = regexp.MustCompile(`^[0-9a-f]{64}$`)
	keyIDPattern    = regexp.MustCompile(`^[0-9a-f]{16}$`)
	dbIDPattern     = regexp.MustCompile(`^[0-9a-f]{32}$`)
)

// folderLayout is the UTC start time in a folder's name, as Dgraph has it.
const folderLayout = "brock.20060102.150405.000"

// FolderName names the folder of a backup begun at t.
func FolderName(t time.Time) string { return t.UTC().Format(folderLayout) }

// FolderTime returns the time in a folder's name, and whether it is one.
func FolderTime(name string) (time.Time, bool) {
	if !folderPattern.MatchString(name) {
		return time.Time{}, false
	}
	t, err := time.Parse(folderLayout, name)
	return t, err == nil
}

// PartName names part n (from 1) of a group at readTs.
func PartName(readTs uint64, group uint32, n int) string {
	if n == 1 {
		return fmt.Sprintf("r%d-g%d.backup", readTs, group)
	}
	return fmt.Sprintf("r%d-g%d.%04d.backup", readTs, group, n)
}

// PartListName names the part list of a group at readTs.
func PartListName(readTs uint64, group uint32) string {
	return fmt.Sprintf("r%d-g%d.parts", readTs, group)
}

// ValidBackupID reports whether id can name a series.
func ValidBackupID(id string) bool { return backupIDPattern.MatchString(id) }

// validate checks every field by itself and against the others.
func (m *Manifest) validate() error {
	switch {
	case m.Version != FormatVersion:
		return fmt.Errorf("version is %d, not %d", m.Version, FormatVersion)
	case m.Keyspace != "" && m.Keyspace != ForeignKeyspace:
		return fmt.Errorf("keyspace %.80q is not one of this version", m.Keyspace)
	case m.Type != Full && m.Type != Incremental:
		return fmt.Errorf("type %q is neither %q nor %q", m.Type, Full, Incremental)
	case !ValidBackupID(m.BackupID):
		return fmt.Errorf("backup_id %.80q is malformed", m.BackupID)
	case m.BackupNum < 1 || m.BackupNum > math.MaxInt32:
		return fmt.Errorf("backup_num %d is out of range", m.BackupNum)
	case (m.BackupNum == 1) != (m.Type == Full):
		return fmt.Errorf("backup_num %d does not fit type %q", m.BackupNum, m.Type)
	case m.ReadTs <= m.Since:
		return fmt.Errorf("read_ts %d is not above since %d", m.ReadTs, m.Since)
	case m.Type == Full && (m.Since != 0 || m.Parent != ""):
		return fmt.Errorf("a full with since %d and parent %.80q", m.Since, m.Parent)
	case m.Type == Incremental && (m.Since == 0 || !sha256Pattern.MatchString(m.Parent)):
		return fmt.Errorf("an incremental with since %d and parent %.80q", m.Since, m.Parent)
	case !dbIDPattern.MatchString(m.DBID):
		return fmt.Errorf("db_id %.80q is malformed", m.DBID)
	case m.Encrypted && !keyIDPattern.MatchString(m.KeyID), !m.Encrypted && m.KeyID != "":
		return fmt.Errorf("key_id %.80q does not fit encrypted %v", m.KeyID, m.Encrypted)
	case m.Compression != CompressionGzip:
		return fmt.Errorf("compression %.80q is unknown", m.Compression)
	case m.Partial == m.Selection.IsZero():
		return fmt.Errorf("partial is %v and the selection is %q", m.Partial, m.Selection.String())
	case len(m.Groups) == 0:
		return fmt.Errorf("it has no groups")
	}
	if _, ok := FolderTime(m.Path); !ok {
		return fmt.Errorf("path %.80q is no folder name", m.Path)
	}
	return m.validateGroups()
}

func (m *Manifest) validateGroups() error {
	var sum Totals
	for id, g := range m.Groups {
		if id == 0 || g == nil {
			return fmt.Errorf("group %d is empty or has number 0", id)
		}
		if want := PartListName(m.ReadTs, id); g.PartList.Name != want {
			return fmt.Errorf("group %d: part list is named %.80q, not %q", id, g.PartList.Name, want)
		}
		if g.PartList.Bytes <= 0 || !sha256Pattern.MatchString(g.PartList.SHA256) {
			return fmt.Errorf("group %d: part list has %d bytes and digest %.80q", id, g.PartList.Bytes, g.PartList.SHA256)
		}
		if !g.Totals.valid() {
			return fmt.Errorf("group %d: totals are out of range", id)
		}
		if err := validateCollections(g.Collections); err != nil {
			return fmt.Errorf("group %d: %w", id, err)
		}
		sum.Add(g.Totals)
	}
	if sum != m.Totals {
		return fmt.Errorf("totals are %+v, the groups' sum is %+v", m.Totals, sum)
	}
	return nil
}

func validateCollections(list []Collection) error {
	ids := make(map[uint64]struct{}, len(list))
	names := make(map[[2]string]struct{}, len(list))
	for _, c := range list {
		if c.ID == 0 || c.Namespace == "" || c.Name == "" || c.Records < 0 {
			return fmt.Errorf("collection %.300q/%.300q (id %d) is malformed", c.Namespace, c.Name, c.ID)
		}
		name := [2]string{c.Namespace, c.Name}
		_, sameID := ids[c.ID]
		_, sameName := names[name]
		if sameID || sameName {
			return fmt.Errorf("collection %.300q/%.300q (id %d) stands twice", c.Namespace, c.Name, c.ID)
		}
		ids[c.ID], names[name] = struct{}{}, struct{}{}
	}
	return nil
}

// maxTotal keeps sums of totals far from overflowing.
const maxTotal = 1 << 56

func (t Totals) valid() bool {
	return t.Parts >= 0 && t.Parts < 1<<30 && t.Records >= 0 && t.Records < maxTotal &&
		t.RawBytes >= 0 && t.RawBytes < maxTotal && t.StoredBytes >= 0 && t.StoredBytes < maxTotal
}

// Add adds other to t.
func (t *Totals) Add(other Totals) {
	t.Parts += other.Parts
	t.Records += other.Records
	t.RawBytes += other.RawBytes
	t.StoredBytes += other.StoredBytes
}
