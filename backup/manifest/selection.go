package manifest

import (
	"slices"
	"strings"
)

// Selection says which collections were asked for, in the words of the request:
// names, "namespace/name", or patterns with "*". What they mean is up to the
// program that the database is of. The zero Selection means all.
type Selection struct {
	Include    []string `json:"include,omitempty"`
	Exclude    []string `json:"exclude,omitempty"`
	Namespaces []string `json:"namespaces,omitempty"`
}

// IsZero reports whether everything is meant.
func (s Selection) IsZero() bool {
	return len(s.Include)+len(s.Exclude)+len(s.Namespaces) == 0
}

// Same reports whether two selections say the same, in any order.
func (s Selection) Same(other Selection) bool {
	same := func(a, b []string) bool {
		return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
	}
	return same(s.Include, other.Include) && same(s.Exclude, other.Exclude) && same(s.Namespaces, other.Namespaces)
}

// String says for people what is chosen.
func (s Selection) String() string {
	var parts []string
	for _, list := range []struct {
		name  string
		words []string
	}{{"include", s.Include}, {"exclude", s.Exclude}, {"namespaces", s.Namespaces}} {
		if len(list.words) > 0 {
			parts = append(parts, list.name+" "+strings.Join(list.words, ", "))
		}
	}
	if len(parts) == 0 {
		return "all collections"
	}
	return strings.Join(parts, "; ")
}
