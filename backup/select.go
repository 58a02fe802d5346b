package backup

import (
	"bytes"
	"fmt"
	"sort"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
)

// Selector is a Source that can back up a part of its database.
type Selector interface {
	Source
	// Select returns a source of what a selection chooses at the time of each
	// snapshot: there, Only says where it is, and Collections what it is. A
	// selection that cannot be met now is refused.
	Select(selection manifest.Selection) (Source, error)
}

// KeyRange is the keys from From on, below To.
type KeyRange struct{ From, To []byte }

// choose replaces the source by one of what is selected.
func (b *Backup) choose() error {
	if b.Selection.IsZero() {
		return nil
	}
	all, ok := b.Source.(Selector)
	if !ok {
		return fault.New(fault.Usage, "back up "+b.Selection.String(), "this database has no collections to choose from")
	}
	chosen, err := all.Select(b.Selection)
	b.Source = chosen
	return err
}

// anotherSelection says why a series cannot be extended because it is of another
// selection, or returns "".
func (b *Backup) anotherSelection(series *manifest.Series) string {
	newest := series.Newest()
	if newest.Selection.Same(b.Selection) {
		return ""
	}
	return fmt.Sprintf("the newest series there is of another selection (%s; this backup: %s)", newest.Selection, b.Selection)
}

// within returns what of a range the snapshot's Only lets through.
func (s *Snapshot) within(r keyRange) []keyRange {
	if s.Only == nil {
		return []keyRange{r}
	}
	var all []keyRange
	first := sort.Search(len(s.Only), func(i int) bool { return bytes.Compare(s.Only[i].To, r.left) > 0 })
	for _, only := range s.Only[first:] {
		if len(r.right) > 0 && bytes.Compare(only.From, r.right) >= 0 {
			break
		}
		part := keyRange{only.From, only.To}
		if bytes.Compare(part.left, r.left) < 0 {
			part.left = r.left
		}
		if len(r.right) > 0 && bytes.Compare(part.right, r.right) > 0 {
			part.right = r.right
		}
		all = append(all, part)
	}
	return all
}
