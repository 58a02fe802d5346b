package gql

import (
	"strings"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/brockdb/brock/backup/fault"
)

// listCost is how many elements a list is taken to have. It need not be right:
// lists in lists in lists are what must be found, and cost it to a power.
const listCost = 10

// cost is what answering may take, fragments spread where they are used.
type cost struct {
	depth  int
	fields int // saturates
}

const mostCost = 1 << 40 // far above every limit, far below an overflow

// coster sums costs up. A fragment is looked at once, however often it is
// spread: fragments of fragments grow with a power as well.
type coster struct {
	doc       *ast.QueryDocument
	fragments map[string]cost
}

// checkCost refuses a valid document that nests too deep or asks for too much.
func (e *Endpoint) checkCost(doc *ast.QueryDocument) error {
	c := coster{doc: doc, fragments: make(map[string]cost)}
	for _, op := range doc.Operations {
		sum := c.of(op.SelectionSet)
		if most := e.limits.Depth; most > 0 && sum.depth > most {
			return fault.New(fault.Usage, opRun, "its fields are nested %d deep; the limit is %d", sum.depth, most)
		}
		if most := e.limits.Complexity; most > 0 && sum.fields > most {
			return fault.New(fault.Usage, opRun, "it is too complex: %d fields, each list counted %d times; the limit is %d",
				sum.fields, listCost, most).WithHint("ask for less at once")
		}
	}
	return nil
}

func (c *coster) of(set ast.SelectionSet) (sum cost) {
	for _, selection := range set {
		var one cost
		switch s := selection.(type) {
		case *ast.Field:
			one = c.of(s.SelectionSet)
			one.depth++
			if isList(s) {
				one.fields *= listCost
			}
			one.fields++
		case *ast.InlineFragment:
			one = c.of(s.SelectionSet)
		case *ast.FragmentSpread:
			one = c.fragment(s.Name)
		}
		sum.depth = max(sum.depth, one.depth)
		sum.fields = min(sum.fields+one.fields, mostCost)
	}
	return sum
}

// fragment relies on validation, which lets no fragment spread itself.
func (c *coster) fragment(name string) cost {
	known, ok := c.fragments[name]
	if !ok {
		if f := c.doc.Fragments.ForName(name); f != nil {
			known = c.of(f.SelectionSet)
		}
		c.fragments[name] = known
	}
	return known
}

func isList(f *ast.Field) bool {
	return f.Definition != nil && f.Definition.Type != nil && f.Definition.Type.Elem != nil
}

// introspects reports whether a root field tells of the schema.
func introspects(name string) bool { return name == "__schema" || name == "__type" }

// withoutGuess takes from a validator's message the names that it suggests.
func withoutGuess(text string) string {
	text, _, _ = strings.Cut(text, " Did you mean")
	return text
}
