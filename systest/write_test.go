package systest

import (
	"bytes"
	"encoding/json"
	"testing"
)

// putRecord is a record of a put; without a key it gets a uid.
type putRecord struct {
	Key   string          `json:"key,omitempty"`
	Value json.RawMessage `json:"value"`
}

// put stores records in one commit and returns it, with the records' keys.
func (a *alpha) put(t *testing.T, into ref, list ...putRecord) (commitTs uint64, keys []string, err error) {
	t.Helper()
	var answer struct {
		Put struct {
			CommitTs uint64
			Keys     []string
		}
	}
	err = a.Data(t.Context(), `mutation($input: PutInput!) { put(input: $input) { commitTs keys } }`,
		map[string]any{"input": map[string]any{"namespace": into.namespace, "collection": into.name, "records": list}}, &answer)
	return answer.Put.CommitTs, answer.Put.Keys, err
}

// store puts records into an alpha and into its model.
func (a *alpha) store(t *testing.T, m model, into ref, list ...putRecord) (commitTs uint64, keys []string) {
	t.Helper()
	commitTs, keys, err := a.put(t, into, list...)
	if err != nil {
		t.Fatal(err)
	}
	if len(keys) != len(list) || commitTs == 0 {
		t.Fatalf("a put of %d records answers commit %d and keys %q", len(list), commitTs, keys)
	}
	for i, record := range list {
		if record.Key != "" && record.Key != keys[i] {
			t.Errorf("record %q was given key %q", record.Key, keys[i])
		}
		m.in(into).records[keys[i]] = string(record.Value)
	}
	return commitTs, keys
}

// remove removes records from an alpha and from its model.
func (a *alpha) remove(t *testing.T, m model, from ref, keys ...string) {
	t.Helper()
	err := a.Data(t.Context(), `mutation($input: RemoveInput!) { remove(input: $input) { commitTs } }`,
		map[string]any{"input": map[string]any{"namespace": from.namespace, "collection": from.name, "keys": keys}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		delete(m[from].records, key)
	}
}

// create makes a collection; schema "" is none.
func (a *alpha) create(t *testing.T, m model, r ref, schema string) {
	t.Helper()
	input := map[string]any{"namespace": r.namespace, "collection": r.name}
	if schema != "" {
		input["schema"] = json.RawMessage(schema)
	}
	err := a.Data(t.Context(), `mutation($input: CreateCollectionInput!) { createCollection(input: $input) { commitTs } }`,
		map[string]any{"input": input}, nil)
	if err != nil {
		t.Fatal(err)
	}
	m[r] = &collection{schema, records{}}
}

// drop removes a collection from an alpha and from its model.
func (a *alpha) drop(t *testing.T, m model, r ref) {
	t.Helper()
	err := a.Data(t.Context(), `mutation($input: DropCollectionInput!) { dropCollection(input: $input) { commitTs } }`,
		map[string]any{"input": map[string]any{"namespace": r.namespace, "collection": r.name}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	delete(m, r)
}

// load sends records through /load, to an alpha and to its model.
func (a *alpha) load(t *testing.T, m model, into ref, loaded records) {
	t.Helper()
	answer, err := a.Load(t.Context(), into.namespace, into.name, bytes.NewReader(loaded.dump()))
	if err != nil {
		t.Fatal(err)
	}
	if answer.Records != int64(len(loaded)) {
		t.Fatalf("%d of %d records are loaded", answer.Records, len(loaded))
	}
	c := m.in(into)
	for key, value := range loaded {
		c.records[key] = value
	}
}
