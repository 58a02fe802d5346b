package manifest

import (
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"

	"github.com/brockdb/brock/backup/fault"
)

// Stored is a manifest as it was found at a destination.
type Stored struct {
	*Manifest
	Data   []byte // the file's bytes: what the MAC and the digest are over
	Digest string // SHA-256 of Data, hex
}

// Series is one full backup and the incrementals on top of it, as found. It
// may have holes or forks until Chain has looked at it.
type Series struct {
	BackupID string
	Members  []Stored // by backup_num, then by folder
}

// Newest returns the member with the highest number.
func (s *Series) Newest() Stored { return s.Members[len(s.Members)-1] }

// InSeries sorts manifests into series. The series that was begun last comes
// last; a series without its full is dated by its first member.
func InSeries(found []Stored) []Series {
	byID := make(map[string]*Series)
	for _, m := range found {
		s := byID[m.BackupID]
		if s == nil {
			s = &Series{BackupID: m.BackupID}
			byID[m.BackupID] = s
		}
		s.Members = append(s.Members, m)
	}
	all := make([]Series, 0, len(byID))
	for _, s := range byID {
		sort.Slice(s.Members, func(i, j int) bool {
			a, b := s.Members[i], s.Members[j]
			return a.BackupNum < b.BackupNum || a.BackupNum == b.BackupNum && a.Path < b.Path
		})
		all = append(all, *s)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Members[0].Path < all[j].Members[0].Path })
	return all
}

// Chain returns the members 1 to num of the series, or all when num is 0,
// after checking that they are one unbroken, unforked history: consecutive
// numbers, parents by digest, since equal to the parent's read_ts, one database,
// one key, one set of groups. Kinds: NotFound, Corrupt.
func (s *Series) Chain(num int) ([]Stored, error) {
	op := "use series " + s.BackupID
	newest := s.Newest().BackupNum
	if num == 0 {
		num = newest
	}
	if num < 0 || num > newest {
		return nil, fault.New(fault.NotFound, op, "it has no backup number %d", num).
			WithHint("its backups are numbered 1 to %d", newest)
	}
	chain := make([]Stored, 0, num)
	for _, m := range s.Members {
		if m.BackupNum > num {
			break
		}
		if len(chain) > 0 && chain[len(chain)-1].BackupNum == m.BackupNum {
			return nil, fault.New(fault.Corrupt, op, "backup number %d exists twice, in %s and %s: the chain is forked",
				m.BackupNum, chain[len(chain)-1].Path, m.Path).
				WithHint("two writers extended it; restore up to number %d with --backup_num, and take a new full (forceFull)", m.BackupNum-1)
		}
		if m.BackupNum != len(chain)+1 {
			return nil, s.missing(op, len(chain)+1)
		}
		if len(chain) > 0 {
			if err := follows(chain[len(chain)-1], m); err != nil {
				return nil, fault.New(fault.Corrupt, op, "%s does not follow %s: %w", m.Path, chain[len(chain)-1].Path, err).
					WithHint("restore up to number %d with --backup_num", m.BackupNum-1)
			}
		}
		chain = append(chain, m)
	}
	if len(chain) < num {
		return nil, s.missing(op, len(chain)+1)
	}
	return chain, nil
}

func (s *Series) missing(op string, num int) error {
	err := fault.New(fault.Corrupt, op, "backup number %d is missing", num)
	if num == 1 {
		return err.WithHint("without its full backup the series cannot be restored; bring the folder back")
	}
	return err.WithHint("bring its folder back, or restore up to number %d with --backup_num", num-1)
}

// follows tells why b cannot be the increment on top of a, or returns nil.
func follows(a, b Stored) error {
	switch {
	case b.Parent != a.Digest:
		return fmt.Errorf("its parent digest is %.12s…, the manifest's is %.12s…: one of the two was altered or replaced", b.Parent, a.Digest)
	case b.Since != a.ReadTs:
		return fmt.Errorf("it begins after %d, the one before ends at %d", b.Since, a.ReadTs)
	case b.DBID != a.DBID:
		return fmt.Errorf("it is of another database")
	case b.Encrypted != a.Encrypted || b.KeyID != a.KeyID:
		return fmt.Errorf("its encryption differs")
	case !b.Selection.Same(a.Selection):
		return fmt.Errorf("its selection differs: %s, and that of the one before: %s", b.Selection, a.Selection)
	case b.AllVersions != a.AllVersions:
		return fmt.Errorf("one holds all versions, the other does not")
	case !slices.Equal(slices.Sorted(maps.Keys(a.Groups)), slices.Sorted(maps.Keys(b.Groups))):
		return fmt.Errorf("its groups differ")
	}
	return nil
}

// Find returns the series with the given backup id, or the one begun last when
// id is "". Kinds: NotFound, Usage.
func Find(all []Series, id, location string) (*Series, error) {
	op := "find series at " + location
	if len(all) == 0 {
		return nil, fault.New(fault.NotFound, op, "there is no backup").
			WithHint("check the location; a folder without a manifest.json is not a backup")
	}
	if id == "" {
		return &all[len(all)-1], nil
	}
	var ids []string
	for i := range all {
		if all[i].BackupID == id {
			return &all[i], nil
		}
		ids = append(ids, all[i].BackupID)
	}
	const most = 5
	if len(ids) > most {
		ids = append([]string{"…"}, ids[len(ids)-most:]...)
	}
	return nil, fault.New(fault.NotFound, op, "no series has backup id %.80q", id).
		WithHint("there are: %s", strings.Join(ids, ", "))
}
