package graph

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/brockdb/brock/worker"
)

// TestValuesKeepTheirText puts values as literals and as variables and wants
// them back byte for byte, but for blanks.
func TestValuesKeepTheirText(t *testing.T) {
	a := newAlpha(t)
	tests := []struct{ literal, text string }{ // literal "" means there is none
		{`0`, `0`},
		{`-0`, `-0`},
		{`9007199254740993`, `9007199254740993`},
		{`18446744073709551616`, `18446744073709551616`},
		{`-123456789012345678901234567890`, `-123456789012345678901234567890`},
		{`0.1000000000000000055511151231257827`, `0.1000000000000000055511151231257827`},
		{`1.50`, `1.50`},
		{`1e400`, `1e400`},
		{`-1.25E-400`, `-1.25E-400`},
		{`true`, `true`},
		{`"<b>&amp;\u2028é😀\\\"\n\t"`, "\"<b>&amp;\u2028é😀\\\\\\\"\\n\\t\""},
		{"\"\"\"\n  block \"text\"\n    more\n\"\"\"", `"block \"text\"\n  more"`},
		{`[]`, `[]`},
		{`{}`, `{}`},
		{`[1, [2.0, null, {z: 1, a: [false]}]]`, `[1,[2.0,null,{"z":1,"a":[false]}]]`},
		{`{z: 99999999999999999999, a: {b: "x", aa: 1e999}}`, `{"z":99999999999999999999,"a":{"b":"x","aa":1e999}}`},
		{"", `{"z":99999999999999999999,"a b":{"":"x","é":1e999},"Z":"\ud800 \u00e9"}`},
		{"", `"\u0000\/"`},
	}
	for i, test := range tests {
		if test.literal != "" {
			key := fmt.Sprintf("literal %d", i)
			got := a.query("/graphql", fmt.Sprintf(`mutation {put(input: {collection: "v", records: [{key: "%s", value: %s}]}) {keys}}`, key, test.literal))
			if got.body != fmt.Sprintf(`{"data":{"put":{"keys":["%s"]}}}`, key) {
				t.Errorf("%s: %s", test.literal, got.body)
			}
			a.want("/graphql", `query($k: String!) {record(collection: "v", key: $k) {value}}`, `{"k":"`+key+`"}`, `{"record":{"value":`+test.text+`}}`)
		}
		for shape, request := range map[string][2]string{
			"value":   {`mutation($x: JSON!) {put(input: {collection: "v", records: [{key: "k", value: $x}]}) {keys}}`, `%s`},
			"records": {`mutation($x: [PutRecord!]!) {put(input: {collection: "v", records: $x}) {keys}}`, `[ {"key" : "k" , "value" : %s } ]`},
			"one":     {`mutation($x: [PutRecord!]!) {put(input: {collection: "v", records: $x}) {keys}}`, `{"key":"k","value":%s}`},
			"input":   {`mutation($x: PutInput!) {put(input: $x) {keys}}`, `{"collection":"v","records":[{"key":"k","value":%s}]}`},
		} {
			got := a.postJSON("/graphql", request[0], `{"x":`+fmt.Sprintf(request[1], test.text)+`}`)
			if got.body != `{"data":{"put":{"keys":["k"]}}}` {
				t.Errorf("%s as variable %s: %s", test.text, shape, got.body)
			}
			a.want("/graphql", `{record(collection: "v", key: "k") {value}}`, "", `{"record":{"value":`+test.text+`}}`)
		}
	}
}

func TestVariablesInsideLiterals(t *testing.T) {
	a := newAlpha(t)
	a.want("/graphql", `mutation($s: String, $i: Int, $j: JSON, $l: [Float!], $none: Int, $d: JSON = {n: 99999999999999999999, e: [1.0]}) {
		put(input: {collection: "c", records: [{key: "k", value: {s: $s, i: $i, j: $j, l: $l, none: $none, d: $d, in: [$none, $s]}}]}) {keys}}`,
		`{"s":"<é>","i":5,"j":{"b":1.50,"a":99999999999999999999},"l":[1.5]}`, `{"put":{"keys":["k"]}}`)
	a.want("/graphql", `{record(collection: "c", key: "k") {value}}`, "",
		`{"record":{"value":{"s":"<é>","i":5,"j":{"b":1.50,"a":99999999999999999999},"l":[1.5],"d":{"n":99999999999999999999,"e":[1.0]},"in":[null,"<é>"]}}}`)
	a.want("/graphql", `mutation($in: PutInput = {collection: "c", records: [{key: "d", value: [99999999999999999999]}]}) {put(input: $in) {keys}}`, "",
		`{"put":{"keys":["d"]}}`)
	a.want("/graphql", `{record(collection: "c", key: "d") {value}}`, "", `{"record":{"value":[99999999999999999999]}}`)
	// The same query again, and in a fragment, and twice in one operation.
	for range 2 {
		a.want("/graphql", `mutation {...F b: put(input: {collection: "c", records: [{key: "b", value: 2.0}]}) {keys}}
			fragment F on Mutation {a: put(input: {collection: "c", records: {key: "a", value: 1.0}}) {keys}}`, "",
			`{"a":{"keys":["a"]},"b":{"keys":["b"]}}`)
	}
	a.want("/graphql", `{a: record(collection: "c", key: "a") {value} b: record(collection: "c", key: "b") {value}}`, "",
		`{"a":{"value":1.0},"b":{"value":2.0}}`)
}

func TestRefusedRecords(t *testing.T) {
	a := newAlpha(t)
	const put = `mutation($r: [PutRecord!]!) {put(input: {collection: "c", records: $r}) {keys}}`
	literal := func(records string) string {
		return `mutation {put(input: {collection: "c", records: ` + records + `}) {keys}}`
	}
	tests := []struct{ query, variables, text string }{
		{literal(`[{key: "k", value: bare}]`), "", "a bare name is no JSON value: quote it"},
		{literal(`[{key: "k", value: {a: 1, a: 2}}]`), "", `member "a" stands twice`},
		{literal(`[{key: "k", value: null}]`), "", `Expected value of type "JSON!", found null`},
		{literal(`[{key: "k"}]`), "", `Field "PutRecord.value" of required type "JSON!" was not provided`},
		{literal(`[{key: "", value: 1}]`), "", "the key of record 1 is empty"},
		{literal(`[]`), "", "it is empty"},
		{put, `{"r":[{"key":"k","value":null}]}`, "use variable $r[0].value: it cannot be null"},
		{put, `{"r":[{"key":"k"}]}`, "use variable $r[0].value: it must be defined"},
		{put, `{"r":[{"value":1},{"key":7,"value":1}]}`, "use variable $r[1].key: it is not a string"},
		{put, `{"r":[{"key":"\udc00","value":1}]}`, "use variable $r[0].key: it has half of a surrogate pair"},
		{put, `{"r":[{"key":"k","value":1,"ttl":1}]}`, `PutRecord has no field "ttl"`},
		{put, `{"r":[{"key":"k","key":"l","value":1}]}`, `member "key" stands twice`},
		{put, `{"r":"x"}`, "it is not an object of type PutRecord"},
		{put, `{}`, "use variable $r: it must be defined"},
		{put, ``, "use variable $r: it must be defined"},
		{`mutation {put(input: {collection: "a/b", records: [{value: 1}]}) {keys}}`, "", "the name has one of the characters"},
		{`mutation {put(input: {namespace: "", collection: "", records: [{value: 1}]}) {keys}}`, "", "the name is empty"},
		{`{records(collection: "c", first: 0) {next}}`, "", "first is 0; it must be from 1 to 10000"},
		{`{records(collection: "c", first: 10001) {next}}`, "", "first is 10001"},
		{`query($n: Int!) {records(collection: "c", first: $n) {next}}`, `{"n":[1]}`, "use variable $n: it is not a value of type Int"},
		{`query($n: Int!) {records(collection: "c", first: $n) {next}}`, `{"n":1.5}`, "use variable $n: it cannot use"},
	}
	for _, test := range tests {
		a.wantError("/graphql", test.query, test.variables, "USAGE", test.text)
	}
	a.want("/graphql", `{collections {name}}`, "", `{"collections":[]}`)
}

func TestCollections(t *testing.T) {
	a := newAlpha(t)
	var created struct{ CreateCollection struct{ CommitTs uint64 } }
	a.data("/graphql", `mutation {createCollection(input: {collection: "empty", schema: {type: "object", max: 99999999999999999999}}) {commitTs}}`, &created)
	a.want("/graphql", `{collections {namespace name id schema createdTs count}}`, "", fmt.Sprintf(
		`{"collections":[{"namespace":"default","name":"empty","id":1,"schema":{"type":"object","max":99999999999999999999},"createdTs":%d,"count":0}]}`, created.CreateCollection.CommitTs))
	a.wantError("/graphql", `mutation {createCollection(input: {collection: "empty"}) {commitTs}}`, "", "EXISTS", "default/empty")
	a.query("/graphql", `mutation {put(input: {namespace: "geo", collection: "rivers", records: [{key: "a", value: 1}, {key: "b", value: 1}, {value: 1}]}) {commitTs}}`)
	a.want("/graphql", `{namespaces all: collections(namespace: "*") {name count} geo: collections(namespace: "geo") {name schema} none: collections(namespace: "none") {name}}`, "",
		`{"namespaces":["default","geo"],"all":[{"name":"empty","count":0},{"name":"rivers","count":3}],"geo":[{"name":"rivers","schema":null}],"none":[]}`)

	var first, second struct{ Remove, DropCollection struct{ CommitTs uint64 } }
	a.data("/graphql", `mutation {remove(input: {namespace: "geo", collection: "rivers", keys: ["a", "nothing"]}) {commitTs}}`, &first)
	a.data("/graphql", `mutation {dropCollection(input: {collection: "empty"}) {commitTs}}`, &second)
	if first.Remove.CommitTs <= created.CreateCollection.CommitTs || second.DropCollection.CommitTs <= first.Remove.CommitTs {
		t.Errorf("commits %v, %v, %v do not grow", created, first, second)
	}
	a.want("/graphql", `{collections(namespace: "*") {name count} record(namespace: "geo", collection: "rivers", key: "a") {key}}`, "",
		`{"collections":[{"name":"rivers","count":2}],"record":null}`)
	for _, query := range []string{
		`mutation {dropCollection(input: {collection: "empty"}) {commitTs}}`,
		`mutation {remove(input: {collection: "empty", keys: ["a"]}) {commitTs}}`,
		`{record(collection: "empty", key: "a") {key}}`,
		`{records(collection: "empty") {next}}`,
	} {
		a.wantError("/graphql", query, "", "NOT_FOUND", "default/empty", "does not exist")
	}
}

func TestPages(t *testing.T) {
	a := newAlpha(t)
	var lines strings.Builder
	var want []string
	for i := range 12_345 {
		key := fmt.Sprintf("k%05d", i)
		want = append(want, key)
		fmt.Fprintf(&lines, "{\"key\":%q,\"value\":%d}\n", key, i)
	}
	if got := a.do(http.MethodPost, "/load?collection=c", strings.NewReader(lines.String())); got.status != 200 {
		t.Fatal(got.body)
	}
	for _, first := range []int{10_000, 1_000, 4_115, 12_345 / 5} {
		var got []string
		after := "null"
		for {
			page, next := a.page(fmt.Sprintf(`{"first":%d,"after":%s}`, first, after))
			if len(page) > first {
				t.Fatalf("%d records on a page of %d", len(page), first)
			}
			got = append(got, page...)
			if next == nil {
				break
			}
			text, _ := json.Marshal(next)
			after = string(text)
		}
		if !slices.Equal(got, want) {
			t.Errorf("pages of %d: %d keys, not %d", first, len(got), len(want))
		}
	}
	for variables, want := range map[string][]string{
		`{"first":10,"prefix":"k0001"}`:                               want[10:20],
		`{"first":10,"prefix":"k0001","after":"k00015"}`:              want[16:20],
		`{"first":10,"prefix":"k0001","from":"k00012","to":"k00014"}`: want[12:14],
		`{"first":3,"from":"k00012","after":"k00001"}`:                want[12:15],
		`{"first":3,"to":"k00002"}`:                                   want[:2],
		`{"first":3,"from":"l"}`:                                      {},
	} {
		if got, _ := a.page(variables); !slices.Equal(got, want) {
			t.Errorf("%s: %v", variables, got)
		}
	}
	if page, next := a.page(`{"first":10,"prefix":"k0001"}`); next != nil {
		t.Errorf("the last page of %d records names a next one: %s", len(page), *next)
	}
}

func (a *alpha) page(variables string) (keys []string, next *string) {
	a.Helper()
	got := a.postJSON("/graphql", `query($first: Int!, $after: String, $prefix: String, $from: String, $to: String) {
		records(collection: "c", first: $first, after: $after, prefix: $prefix, from: $from, to: $to) {records {key} next}}`, variables)
	var decoded struct {
		Data struct {
			Records struct {
				Records []struct{ Key string }
				Next    *string
			}
		}
	}
	if err := json.Unmarshal([]byte(got.body), &decoded); err != nil || strings.Contains(got.body, `"errors"`) {
		a.Fatal(clip(got.body))
	}
	keys = []string{}
	for _, record := range decoded.Data.Records.Records {
		keys = append(keys, record.Key)
	}
	return keys, decoded.Data.Records.Next
}

func TestLargeRecords(t *testing.T) {
	a := newAlpha(t)
	large := strings.Repeat("x", 3<<20)
	for i := range 4 {
		got := a.postJSON("/graphql", `mutation($v: JSON!, $k: String!) {put(input: {collection: "c", records: [{key: $k, value: $v}]}) {keys}}`,
			fmt.Sprintf(`{"k":"k%d","v":{"text":"%s"}}`, i, large))
		if got.status != 200 || strings.Contains(got.body, "errors") {
			t.Fatal(clip(got.body))
		}
	}
	page, next := a.page(`{"first":100}`)
	if len(page) != 3 || next == nil || *next != "k2" {
		t.Errorf("a page of large records has %v, then %v", page, next)
	}
	if got, _ := a.page(`{"first":100,"after":"k2"}`); !slices.Equal(got, []string{"k3"}) {
		t.Errorf("the next one has %v", got)
	}
	eight := `{"text":"` + strings.Repeat("y", 8<<20) + `"}`
	key := strings.Repeat("é", 30_000)
	got := a.postJSON("/graphql", `mutation($v: JSON!, $k: String!) {put(input: {collection: "e", records: [{key: $k, value: $v}]}) {commitTs}}`,
		fmt.Sprintf(`{"k":"%s","v":%s}`, key, eight))
	if strings.Contains(got.body, "errors") {
		t.Fatal(clip(got.body))
	}
	a.want("/graphql", `query($k: String!) {record(collection: "e", key: $k) {value}}`, `{"k":"`+key+`"}`, `{"record":{"value":`+eight+`}}`)
}

func TestLimits(t *testing.T) {
	a := startAlpha(t, t.TempDir(), worker.Options{}, Options{DataBodyBytes: 4 << 20})
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	fields := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "f%d: namespaces ", i)
		}
		return b.String()
	}
	tests := []struct {
		query, text string
	}{
		{`{` + fields(33) + `}`, "it asks for 33 things at once; the limit is 32"},
		{`{...F} fragment F on Query {` + fields(33) + `}`, "it asks for 33 things at once"},
		{`{` + fields(1001) + `}`, "it has 1001 fields; the limit is 1000"},
		{`{` + strings.Repeat("namespaces ", 20_000) + `}`, "it has 20000 fields"},
		{`mutation {put(input: {collection: "c", records: [{value: [` + strings.Repeat("1 ", 600_000) + `]}]}) {keys}}`, "exceeded token limit of 500000"},
		{`mutation {put(input: {collection: "c", records: [{value: ` + deep(1001) + `}]}) {keys}}`, "exceeded maximum nesting depth"},
		{`{` + strings.Repeat("a {", 2000) + strings.Repeat("}", 2000) + `}`, "exceeded maximum nesting depth"},
		{`{...F} fragment F on Query {...F}`, "Cannot spread fragment"},
		{`{... @defer {namespaces}}`, "@defer is not supported"},
		{`{...F @defer} fragment F on Query {namespaces}`, "@defer is not supported"},
		{`subscription {namespaces}`, "does not support operation type"},
		{`{__schema {types {fields {type {fields {type {fields {type {fields {name}}}}}}}}}}`, "Maximum introspection depth exceeded"},
	}
	for _, test := range tests {
		got := a.query("/graphql", test.query)
		if got.status != 200 || !strings.HasPrefix(got.body, `{"errors":[`) || !strings.Contains(got.body, test.text) {
			t.Errorf("%s: %d %s", clip(test.query)[:80], got.status, clip(got.body))
		}
	}
	a.checkError(a.query("/graphql", strings.Repeat(" ", 4<<20+1)), http.StatusRequestEntityTooLarge, "USAGE", "more than 4194304 bytes")
	a.want("/graphql", `mutation($v: JSON!) {put(input: {collection: "c", records: [{key: "deep", value: $v}]}) {keys}}`, `{"v":`+deep(5000)+`}`, `{"put":{"keys":["deep"]}}`)
	a.want("/graphql", `{`+fields(32)[:len("f0: namespaces ")]+`}`, "", `{"f0":["default"]}`)
}

func TestIntrospection(t *testing.T) {
	a := newAlpha(t)
	for _, path := range []string{"/admin", "/graphql"} {
		var found struct {
			Schema struct {
				Types []struct {
					Name, Description   string
					Fields, InputFields []struct{ Name, Description string }
					EnumValues          []struct{ Name, Description string }
				}
			} `json:"__schema"`
		}
		a.data(path, `{__schema {types {name description fields {name description} inputFields {name description} enumValues {name description}}}}`, &found)
		for _, typ := range found.Schema.Types {
			if strings.HasPrefix(typ.Name, "__") {
				continue
			}
			if typ.Description == "" && !slices.Contains([]string{"Int", "Float", "String", "Boolean", "ID"}, typ.Name) {
				t.Errorf("%s: type %s is not described", path, typ.Name)
			}
			for _, field := range slices.Concat(typ.Fields, typ.InputFields, typ.EnumValues) {
				if field.Description == "" {
					t.Errorf("%s: %s.%s is not described", path, typ.Name, field.Name)
				}
				if strings.Contains(field.Name, "errors") {
					t.Errorf("%s: a success with %s would read as a failure", path, field.Name)
				}
			}
		}
	}
}

func TestConcurrentClients(t *testing.T) {
	a := newAlpha(t)
	const clients, puts = 16, 15
	var wg sync.WaitGroup
	for client := range clients {
		wg.Go(func() {
			for i := range puts {
				query := `mutation($k: String!, $v: JSON!) {put(input: {collection: "c", records: [{key: $k, value: $v}]}) {commitTs}}`
				if i%2 == 0 {
					query = fmt.Sprintf(`mutation {put(input: {collection: "c", records: [{key: "%d-%d", value: {i: %d}}]}) {commitTs}}`, client, i, i)
				}
				variables := fmt.Sprintf(`{"k":"%d-%d","v":{"i":%d}}`, client, i, i)
				if got := a.postJSON("/graphql", query, variables); !strings.HasPrefix(got.body, `{"data":{"put":{"commitTs":`) {
					t.Error(got.body)
				}
				got := a.get(`/graphql?query=` + url.QueryEscape(fmt.Sprintf(`{record(collection: "c", key: "%d-%d") {value} collections {count}}`, client, i)))
				if !strings.HasPrefix(got.body, fmt.Sprintf(`{"data":{"record":{"value":{"i":%d}},`, i)) {
					t.Error(got.body)
				}
			}
		})
	}
	wg.Wait()
	a.want("/graphql", `{collections {name count}}`, "", fmt.Sprintf(`{"collections":[{"name":"c","count":%d}]}`, clients*puts))
}
