package store

import (
	"math"
	"slices"
	"strings"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
)

// A selection chooses collections by words. A word is "namespace/name", or a
// "name" in the namespaces that are chosen as well, or else in the default one.
// "*" stands for any characters of a namespace or a name; alone, it stands for
// all. Namespaces narrow down what the words choose.

const opSelect = "choose collections"

// Select returns the collections that a selection chooses, in the order of all.
// What it names and is not there is refused (NotFound), and so is a selection
// that is malformed or chooses nothing (Usage).
func Select(selection manifest.Selection, all []Collection) ([]Collection, error) {
	if err := CheckSelection(selection); err != nil {
		return nil, err
	}
	within, err := ofNamespaces(selection.Namespaces, all)
	if err != nil {
		return nil, err
	}
	include, err := byWords("include", selection.Include, selection.Namespaces, within)
	if err != nil {
		return nil, err
	}
	exclude, err := byWords("exclude", selection.Exclude, selection.Namespaces, within)
	if err != nil {
		return nil, err
	}
	var chosen []Collection
	for i, c := range within {
		if (len(selection.Include) == 0 || include[i]) && !exclude[i] {
			chosen = append(chosen, c)
		}
	}
	if len(chosen) == 0 && !selection.IsZero() {
		return nil, fault.New(fault.Usage, opSelect, "no collection is left (%s)", selection)
	}
	return chosen, nil
}

// CheckSelection refuses a selection that is malformed, whatever there is to
// choose from. Kind Usage.
func CheckSelection(s manifest.Selection) error {
	if len(s.Include) > 0 && len(s.Exclude) > 0 {
		return fault.New(fault.Usage, opSelect, "include and exclude are both set").WithHint("give one of the two")
	}
	for _, list := range []struct {
		name  string
		words []string
		parse func(string) (Ref, string)
	}{
		{"include", s.Include, parseWord}, {"exclude", s.Exclude, parseWord}, {"namespaces", s.Namespaces, parseNamespace},
	} {
		seen := make(map[Ref]bool, len(list.words))
		for _, word := range list.words {
			ref, flaw := list.parse(word)
			if flaw != "" {
				return fault.New(fault.Usage, opSelect, "%s: %s: %s", list.name, quote(word), flaw)
			}
			if ref.Namespace == "" && len(s.Namespaces) == 0 {
				ref.Namespace = DefaultNamespace
			}
			if seen[ref] {
				return fault.New(fault.Usage, opSelect, "%s: %s stands twice", list.name, quote(word))
			}
			seen[ref] = true
		}
	}
	return nil
}

// parseWord takes a word apart; the namespace is "" where the word has none. flaw
// says what keeps it from choosing anything.
func parseWord(word string) (ref Ref, flaw string) {
	if word == "*" {
		return Ref{"*", "*"}, ""
	}
	namespace, name, qualified := strings.Cut(word, "/")
	if !qualified {
		namespace, name = "", word
	}
	if flaw := patternFlaw(name); flaw != "" {
		return ref, flaw
	}
	if qualified {
		flaw = patternFlaw(namespace)
	}
	return Ref{namespace, name}, flaw
}

func parseNamespace(word string) (ref Ref, flaw string) { return Ref{word, "*"}, patternFlaw(word) }

// patternFlaw is nameFlaw for what may hold "*".
func patternFlaw(pattern string) string {
	name := strings.ReplaceAll(pattern, "*", "")
	if name == "" && pattern != "" {
		return ""
	}
	return nameFlaw(name)
}

// ofNamespaces returns the collections of the namespaces; all when none is named.
func ofNamespaces(namespaces []string, all []Collection) ([]Collection, error) {
	if len(namespaces) == 0 {
		return all, nil
	}
	found := make([]bool, len(namespaces))
	var within []Collection
	for _, c := range all {
		in := false
		for i, pattern := range namespaces {
			if matches(pattern, c.Namespace) {
				found[i], in = true, true
			}
		}
		if in {
			within = append(within, c)
		}
	}
	for i, pattern := range namespaces {
		if !found[i] && !strings.Contains(pattern, "*") {
			return nil, fault.New(fault.NotFound, opSelect, "namespaces: there is no namespace %s", quote(pattern))
		}
	}
	return within, nil
}

// byWords tells which collections the words name. A word without "*" must name
// one.
func byWords(list string, words, namespaces []string, all []Collection) ([]bool, error) {
	named := make([]bool, len(all))
	for _, word := range words {
		ref, _ := parseWord(word)
		found := false
		for i, c := range all {
			inNamespace := ref.Namespace == "" && (len(namespaces) > 0 || c.Namespace == DefaultNamespace) ||
				ref.Namespace != "" && matches(ref.Namespace, c.Namespace)
			if inNamespace && matches(ref.Collection, c.Name) {
				found, named[i] = true, true
			}
		}
		if !found && !strings.Contains(word, "*") {
			return nil, fault.New(fault.NotFound, opSelect, "%s: there is no collection %s", list, quote(word)).
				WithHint("a name without a namespace is in %s", strings.Join(orDefault(namespaces), ", "))
		}
	}
	return named, nil
}

func orDefault(namespaces []string) []string {
	if len(namespaces) == 0 {
		return []string{DefaultNamespace}
	}
	return namespaces
}

// matches reports whether name fits a pattern in which "*" stands for any
// characters, or none.
func matches(pattern, name string) bool {
	head, rest, wild := strings.Cut(pattern, "*")
	if !wild {
		return pattern == name
	}
	if !strings.HasPrefix(name, head) {
		return false
	}
	name = name[len(head):]
	for {
		part, after, more := strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(name, part)
		}
		at := strings.Index(name, part)
		if at < 0 {
			return false
		}
		name, rest = name[at+len(part):], after
	}
}

// IDRange is a run of collection ids without a gap.
type IDRange struct{ First, Last uint64 }

// IDRanges returns the runs of the collections' ids, ascending: where a backup or
// a restore of some collections finds their records.
func IDRanges(collections []Collection) []IDRange {
	ids := make([]uint64, len(collections))
	for i, c := range collections {
		ids[i] = c.ID
	}
	slices.Sort(ids)
	var runs []IDRange
	for _, id := range ids {
		if n := len(runs); n > 0 && runs[n-1].Last+1 == id {
			runs[n-1].Last = id
			continue
		}
		runs = append(runs, IDRange{id, id})
	}
	return runs
}

// Keys returns the range of the stored keys of the run's records.
func (r IDRange) Keys() (from, to []byte) {
	if r.Last == math.MaxUint64 {
		return recordPrefix(r.First), []byte{kindRecord + 1}
	}
	return recordPrefix(r.First), recordPrefix(r.Last + 1)
}

// IDs returns the ids of the run.
func (r IDRange) IDs() []uint64 {
	ids := make([]uint64, 0, r.Last-r.First+1)
	for id := r.First; ; id++ {
		if ids = append(ids, id); id == r.Last {
			return ids
		}
	}
}
