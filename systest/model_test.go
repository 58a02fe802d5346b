package systest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// ref names a collection.
type ref struct{ namespace, name string }

func (r ref) String() string { return r.namespace + "/" + r.name }

// records are the values of a collection by key, as JSON without blanks.
type records map[string]string

// collection is what a model knows of one.
type collection struct {
	schema  string // "" for none
	records records
}

// model is what an alpha must hold after what it has acknowledged.
type model map[ref]*collection

func (m model) clone() model {
	c := make(model, len(m))
	for r, of := range m {
		c[r] = &collection{of.schema, maps.Clone(of.records)}
	}
	return c
}

// in returns a collection, which a put creates.
func (m model) in(r ref) *collection {
	if m[r] == nil {
		m[r] = &collection{records: records{}}
	}
	return m[r]
}

func (m model) sorted() []ref {
	return slices.SortedFunc(maps.Keys(m), func(a, b ref) int {
		return strings.Compare(a.namespace+"\x00"+a.name, b.namespace+"\x00"+b.name)
	})
}

// dump returns the records as /dump must write them: in the order of the keys'
// bytes.
func (r records) dump() []byte {
	var out []byte
	for _, key := range slices.Sorted(maps.Keys(r)) {
		out = appendLine(out, key, r[key])
	}
	return out
}

func appendLine(out []byte, key, value string) []byte {
	out = append(out, `{"key":`...)
	out = append(out, quoteJSON(key)...)
	out = append(out, `,"value":`...)
	out = append(out, value...)
	return append(out, "}\n"...)
}

// quoteJSON is how dumps write a string: nothing is escaped that need not be.
func quoteJSON(s string) []byte {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(s); err != nil {
		panic(err) // a string can be encoded
	}
	text := strings.TrimSuffix(out.String(), "\n")
	// encoding/json escapes these for the sake of JavaScript, and two control
	// characters by their short names.
	return []byte(strings.NewReplacer(`\\`, `\\`, `\u2028`, "\u2028", `\u2029`, "\u2029",
		`\b`, `\u0008`, `\f`, `\u000c`).Replace(text))
}

// described is a collection as /graphql tells it.
type described struct {
	Namespace, Name string
	ID, CreatedTs   uint64
	Count           int64
	Schema          json.RawMessage
}

// catalog returns all collections of an alpha, in its order.
func (a *alpha) catalog(t *testing.T) []described {
	t.Helper()
	var answer struct{ Collections []described }
	err := a.Data(t.Context(), `{ collections(namespace: "*") { namespace name id createdTs count schema } }`, nil, &answer)
	if err != nil {
		t.Fatal(err)
	}
	return answer.Collections
}

// dump returns a collection as the alpha writes it.
func (a *alpha) dump(t *testing.T, of ref) []byte {
	t.Helper()
	var out bytes.Buffer
	if _, err := a.Dump(t.Context(), of.namespace, of.name, &out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// check compares all an alpha holds with the model, byte by byte, and returns
// the catalog.
func (a *alpha) check(t *testing.T, want model, moment string) []described {
	t.Helper()
	catalog := a.catalog(t)
	refs := want.sorted()
	var names []ref
	for _, c := range catalog {
		names = append(names, ref{c.Namespace, c.Name})
	}
	if !slices.Equal(names, refs) {
		t.Fatalf("%s: there are the collections %v, want %v", moment, names, refs)
	}
	for i, r := range refs {
		c := want[r]
		schema := strings.TrimSuffix(string(catalog[i].Schema), "null")
		if catalog[i].Count != int64(len(c.records)) || schema != c.schema {
			t.Errorf("%s: %s has %d records and schema %q, want %d and %q",
				moment, r, catalog[i].Count, schema, len(c.records), c.schema)
		}
		wantDump(t, moment+": "+r.String(), a.dump(t, r), c.records.dump())
	}
	return catalog
}

// wantDump compares two dumps and shows the first lines that differ.
func wantDump(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if bytes.Equal(got, want) {
		return
	}
	gotLines, wantLines := bytes.Split(got, []byte("\n")), bytes.Split(want, []byte("\n"))
	line := func(lines [][]byte, i int) string {
		if i >= len(lines) {
			return "(end)"
		}
		return fmt.Sprintf("%.300s", lines[i])
	}
	i := 0
	for i < len(gotLines) && i < len(wantLines) && bytes.Equal(gotLines[i], wantLines[i]) {
		i++
	}
	t.Fatalf("%s: line %d of %d lines is\n%s\nwant, of %d lines,\n%s",
		what, i+1, len(gotLines), line(gotLines, i), len(wantLines), line(wantLines, i))
}

// wantCatalog compares a restored catalog with that of the alpha that was
// backed up: ids and commits too.
func wantCatalog(t *testing.T, moment string, got, want []described) {
	t.Helper()
	equal := slices.EqualFunc(got, want, func(a, b described) bool {
		return a.Namespace == b.Namespace && a.Name == b.Name && a.ID == b.ID && a.CreatedTs == b.CreatedTs &&
			a.Count == b.Count && bytes.Equal(a.Schema, b.Schema)
	})
	if !equal {
		t.Fatalf("%s: the catalog is\n%+v\nwant\n%+v", moment, got, want)
	}
}

// someKeys returns up to n keys of a collection, the first ones.
func (m model) someKeys(of ref, n int) []string {
	keys := slices.Sorted(maps.Keys(m[of].records))
	return keys[:min(n, len(keys))]
}
