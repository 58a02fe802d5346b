package store

import (
	"math"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
)

var selectable = []Collection{
	{Namespace: "default", Name: "cities", ID: 1}, {Namespace: "default", Name: "countries", ID: 2},
	{Namespace: "default", Name: "tmp1", ID: 3}, {Namespace: "geo", Name: "cities", ID: 5},
	{Namespace: "geo", Name: "rivers", ID: 6}, {Namespace: "prod-eu", Name: "users", ID: 9},
}

func TestSelect(t *testing.T) {
	list := func(words ...string) []string { return words }
	tests := []struct {
		selection manifest.Selection
		want      string // ids, or what the error says
		kind      fault.Kind
	}{
		{manifest.Selection{}, "123569", 0},
		{manifest.Selection{Include: list("cities")}, "1", 0},
		{manifest.Selection{Include: list("geo/cities", "cities")}, "15", 0},
		{manifest.Selection{Include: list("*/cities")}, "15", 0},
		{manifest.Selection{Include: list("c*")}, "12", 0},
		{manifest.Selection{Include: list("*")}, "123569", 0},
		{manifest.Selection{Include: list("geo/*")}, "56", 0},
		{manifest.Selection{Include: list("prod*/*s")}, "9", 0},
		{manifest.Selection{Include: list("*i*i*")}, "1", 0},
		{manifest.Selection{Exclude: list("tmp*")}, "12569", 0},
		{manifest.Selection{Exclude: list("nothing*")}, "123569", 0},
		{manifest.Selection{Exclude: list("geo/*", "cities")}, "239", 0},
		{manifest.Selection{Namespaces: list("geo")}, "56", 0},
		{manifest.Selection{Namespaces: list("geo", "prod-*")}, "569", 0},
		{manifest.Selection{Namespaces: list("geo"), Include: list("cities")}, "5", 0},
		{manifest.Selection{Namespaces: list("geo", "default"), Include: list("cities")}, "15", 0},
		{manifest.Selection{Namespaces: list("geo"), Exclude: list("riv*")}, "5", 0},
		{manifest.Selection{Include: list("a"), Exclude: list("b")}, "include and exclude are both set", fault.Usage},
		{manifest.Selection{Include: list("atlantis")}, `include: there is no collection "atlantis"`, fault.NotFound},
		{manifest.Selection{Exclude: list("geo/atlantis")}, `exclude: there is no collection "geo/atlantis"`, fault.NotFound},
		{manifest.Selection{Include: list("rivers")}, `no collection "rivers"`, fault.NotFound},
		{manifest.Selection{Namespaces: list("nowhere")}, `namespaces: there is no namespace "nowhere"`, fault.NotFound},
		{manifest.Selection{Namespaces: list("geo"), Include: list("users")}, `no collection "users"`, fault.NotFound},
		{manifest.Selection{Include: list("cities", "default/cities")}, `"default/cities" stands twice`, fault.Usage},
		{manifest.Selection{Namespaces: list("geo", "geo")}, `namespaces: "geo" stands twice`, fault.Usage},
		{manifest.Selection{Exclude: list("*")}, "no collection is left (exclude *)", fault.Usage},
		{manifest.Selection{Include: list("nothing*")}, "no collection is left", fault.Usage},
		{manifest.Selection{Include: list("")}, "the name is empty", fault.Usage},
		{manifest.Selection{Include: list("geo/")}, "the name is empty", fault.Usage},
		{manifest.Selection{Include: list("/x")}, "the name is empty", fault.Usage},
		{manifest.Selection{Include: list("a/b/c")}, "characters / * ,", fault.Usage},
		{manifest.Selection{Include: list("a,b")}, "characters / * ,", fault.Usage},
		{manifest.Selection{Namespaces: list("geo/x")}, "characters / * ,", fault.Usage},
	}
	for _, test := range tests {
		chosen, err := Select(test.selection, selectable)
		if err != nil {
			if !strings.Contains(err.Error(), test.want) || fault.KindOf(err) != test.kind || test.kind == 0 {
				t.Errorf("%+v: %v (%v)", test.selection, err, fault.KindOf(err))
			}
			continue
		}
		var ids strings.Builder
		for _, c := range chosen {
			ids.WriteByte('0' + byte(c.ID))
		}
		if ids.String() != test.want || test.kind != 0 {
			t.Errorf("%+v: chosen are %s, not %s", test.selection, ids.String(), test.want)
		}
	}
}

func TestMatchesAsARegularExpressionWould(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	word := func(letters string) string {
		b := make([]byte, random.IntN(7))
		for i := range b {
			b[i] = letters[random.IntN(len(letters))]
		}
		return string(b)
	}
	hits := 0
	for range 20_000 {
		pattern, name := word("ab*"), word("ab")
		want := regexp.MustCompile("^" + strings.ReplaceAll(pattern, "*", ".*") + "$").MatchString(name)
		if got := matches(pattern, name); got != want {
			t.Fatalf("%q fits %q: %v", name, pattern, got)
		}
		if want {
			hits++
		}
	}
	if hits < 1000 {
		t.Errorf("%d hits", hits)
	}
}

func TestIDRanges(t *testing.T) {
	runs := IDRanges([]Collection{{ID: 9}, {ID: 2}, {ID: 1}, {ID: 3}, {ID: math.MaxUint64}, {ID: 7}})
	if want := []IDRange{{1, 3}, {7, 7}, {9, 9}, {math.MaxUint64, math.MaxUint64}}; !slices.Equal(runs, want) {
		t.Fatalf("%v", runs)
	}
	for _, r := range runs {
		from, to := r.Keys()
		for _, id := range r.IDs() {
			if key := recordKey(id, "\xff\xff"); string(key) < string(from) || string(key) >= string(to) {
				t.Errorf("%v does not hold %x", r, key)
			}
		}
		if string(recordKey(r.Last+1, "x")) < string(to) && r.Last != math.MaxUint64 {
			t.Errorf("%v holds too much", r)
		}
	}
}
