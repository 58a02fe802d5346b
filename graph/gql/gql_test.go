package gql_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/graph/data"
	"github.com/brockdb/brock/graph/gql"
	"github.com/brockdb/brock/worker/store"
)

// node takes every batch and has nothing to read.
type node struct {
	propose func(*store.Batch) (uint64, error)
}

func (n node) Propose(_ context.Context, b *store.Batch) (uint64, error) { return n.propose(b) }
func (n node) View() (*store.View, error)                                { return nil, errors.New("nothing to see") }

var limits = gql.Limits{BodyBytes: 1 << 20, Tokens: 10_000, Fields: 100, RootFields: 10, CachedQueries: 3}

func endpoint(propose func(*store.Batch) (uint64, error)) *gql.Endpoint {
	return gql.New(data.NewExecutableSchema(data.Config{Resolvers: &data.Resolver{Node: node{propose}}}), limits, gql.Watch{})
}

func accept(*store.Batch) (uint64, error) { return 7, nil }

func post(e *gql.Endpoint, contentType, body string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(http.MethodPost, "/graphql", strings.NewReader(body))
	req.Header.Set("Content-Type", contentType)
	res := httptest.NewRecorder()
	e.ServeHTTP(res, req)
	return res
}

const drop = `mutation {dropCollection(input: {collection: "c"}) {commitTs}}`

func TestPanicBecomesAnError(t *testing.T) {
	for name, propose := range map[string]func(*store.Batch) (uint64, error){
		"value":   func(*store.Batch) (uint64, error) { panic("the secret value") },
		"runtime": func(b *store.Batch) (uint64, error) { return uint64(len(b.Puts[3].Key)), nil },
	} {
		res := post(endpoint(propose), "application/graphql", drop)
		want := `{"errors":[{"message":"cannot answer request: it panicked; this is a bug in brock; the alpha's log has the details","path":["dropCollection"],`
		if res.Code != http.StatusOK || !strings.HasPrefix(res.Body.String(), want) || strings.Contains(res.Body.String(), "secret") {
			t.Errorf("%s: %d %s", name, res.Code, res.Body)
		}
	}
}

func TestErrorsOfResolvers(t *testing.T) {
	tests := []struct {
		err  error
		want string
	}{
		{fault.New(fault.NotFound, "find it", `"<x>" is not there`).WithHint("look elsewhere"),
			`"message":"cannot find it: \"<x>\" is not there; look elsewhere","path":["dropCollection"],"locations":[{"line":1,"column":11}],"extensions":{"code":"NOT_FOUND","hint":"look elsewhere"}`},
		{fault.Wrap(fault.New(fault.NoSpace, "write", "full"), "commit"),
			`"message":"cannot commit: cannot write: full","path":["dropCollection"],"locations":[{"line":1,"column":11}],"extensions":{"code":"NO_SPACE"}`},
		{errors.New("plain"), `"message":"plain","path":["dropCollection"],"locations":[{"line":1,"column":11}],"extensions":{"code":"FAILED"}`},
		{context.Canceled, `"extensions":{"code":"CANCELED"}`},
	}
	for _, test := range tests {
		res := post(endpoint(func(*store.Batch) (uint64, error) { return 0, test.err }), "application/graphql", drop)
		if !strings.Contains(res.Body.String(), test.want) || !json.Valid(res.Body.Bytes()) {
			t.Errorf("%v: %s", test.err, res.Body)
		}
	}
}

func TestMutationsRunInOrder(t *testing.T) {
	var seen []string
	e := endpoint(func(b *store.Batch) (uint64, error) {
		seen = append(seen, b.Drops[0].Collection)
		if len(seen) == 2 {
			return 0, errors.New("no")
		}
		return uint64(len(seen)), nil
	})
	res := post(e, "application/json", `{"query":"mutation($skip: Boolean!) {
		a: dropCollection(input: {collection: \"a\"}) {commitTs}
		no: dropCollection(input: {collection: \"no\"}) @skip(if: $skip) {commitTs}
		b: dropCollection(input: {collection: \"b\"}) {commitTs}
		c: dropCollection(input: {collection: \"c\"}) @include(if: $skip) {commitTs}}","variables":{"skip":true}}`)
	if fmt.Sprint(seen) != "[]" {
		t.Errorf("raw line ends are not JSON, and %v was done: %s", seen, res.Body)
	}
	res = post(e, "application/graphql", `mutation {
		a: dropCollection(input: {collection: "a"}) {commitTs}
		no: dropCollection(input: {collection: "no"}) @skip(if: true) {commitTs}
		b: dropCollection(input: {collection: "b"}) {commitTs}
		c: dropCollection(input: {collection: "c"}) @include(if: true) {commitTs}}`)
	if fmt.Sprint(seen) != "[a b]" && fmt.Sprint(seen) != "[a b c]" {
		t.Errorf("done: %v: %s", seen, res.Body)
	}
	if !strings.Contains(res.Body.String(), `"path":["b"]`) {
		t.Errorf("%s", res.Body)
	}
}

// TestSharedQueries runs the same few queries, which are kept parsed, and one
// with a literal, which is not, from many goroutines.
func TestSharedQueries(t *testing.T) {
	var mu sync.Mutex
	counts := make(map[string]int)
	e := endpoint(func(b *store.Batch) (uint64, error) {
		mu.Lock()
		defer mu.Unlock()
		counts[string(b.Puts[0].Value)]++
		return 1, nil
	})
	var clients sync.WaitGroup
	for client := range 8 {
		clients.Go(func() {
			for i := range 20 {
				body := fmt.Sprintf(`{"query":"mutation M%d($v: JSON!) {put(input: {collection: \"c\", records: [{value: $v}]}) {commitTs}}","variables":{"v":"variable"}}`, i%5)
				if i%2 == 0 {
					body = fmt.Sprintf(`{"query":"mutation M($n: Int) {put(input: {collection: \"c\", records: [{value: [$n, \"literal\"]}]}) {commitTs}}","variables":{"n":%d}}`, client)
				}
				if res := post(e, "application/json", body); res.Body.String() != `{"data":{"put":{"commitTs":1}}}` {
					t.Errorf("%s", res.Body)
				}
			}
		})
	}
	clients.Wait()
	if counts[`"variable"`] != 80 || counts[`[3,"literal"]`] != 10 || len(counts) != 9 {
		t.Errorf("put were %v", counts)
	}
}

// FuzzRequest sends anything. Whatever it is, nothing panics, and the answer is
// JSON in the form of GraphQL.
func FuzzRequest(f *testing.F) {
	for _, query := range []string{
		drop, `{namespaces}`, `{__schema {types {name}}}`, `query($k: String!) {record(collection: "c", key: $k) {value}}`,
		`mutation {put(input: {collection: "c", records: [{key: "k", value: {a: [1.50, {b: null}], c: "SECRETSECRET"}}]}) {keys}}`,
		`mutation($v: JSON!, $d: JSON = {x: 99999999999999999999}) {put(input: {collection: "c", records: [{value: $v}, {value: [$d]}]}) {keys}}`,
		`{...F} fragment F on Query {...G} fragment G on Query {namespaces}`, `{a: namespaces @skip(if: "SECRETSECRET")}`,
		`mutation {put(input: SECRETSECRET) {keys}}`, `{record(collection: "c", key: "a\qSECRETSECRET") {key}}`, `"SECRETSECRET"`,
	} {
		f.Add(query, `{"v":{"a":[1,"SECRETSECRET"]},"k":"SECRETSECRET"}`, true)
		f.Add(query, ``, false)
	}
	f.Add(`{`, `[`, true)
	e := endpoint(accept)
	f.Fuzz(func(t *testing.T, query, variables string, asJSON bool) {
		contentType, body := "application/graphql", query
		if asJSON {
			text, err := json.Marshal(query)
			if err != nil {
				t.Fatal(err)
			}
			contentType, body = "application/json", fmt.Sprintf(`{"query":%s,"variables":%s}`, text, variables)
		}
		res := post(e, contentType, body)
		var answer struct {
			Data   json.RawMessage
			Errors []struct{ Message string }
		}
		if err := json.Unmarshal(res.Body.Bytes(), &answer); err != nil {
			t.Fatalf("%q %q: %d %q: %v", query, variables, res.Code, res.Body, err)
		}
		if answer.Data == nil && len(answer.Errors) == 0 {
			t.Fatalf("%q %q: %q", query, variables, res.Body)
		}
		for _, e := range answer.Errors {
			if strings.Contains(e.Message, "it panicked") {
				t.Fatalf("%q %q: %q", query, variables, res.Body)
			}
		}
	})
}
