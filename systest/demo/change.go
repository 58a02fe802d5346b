package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// record is one record of a put; without a key brock assigns one.
type record struct {
	Key   *string         `json:"key,omitempty"`
	Value json.RawMessage `json:"value"`
}

// put stores records and notes them in the model as acknowledged.
func (r *round) put(ctx context.Context, collection string, records []record) error {
	const mutation = `mutation($in: PutInput!) { put(input: $in) { commitTs keys } }`
	input := map[string]any{"collection": collection, "records": records}
	var answer struct {
		Put struct{ Keys []string }
	}
	if err := r.source.client.Data(ctx, mutation, map[string]any{"in": input}, &answer); err != nil {
		return err
	}
	if len(answer.Put.Keys) != len(records) {
		return fmt.Errorf("%d keys were acknowledged, %d records sent", len(answer.Put.Keys), len(records))
	}
	for i, key := range answer.Put.Keys {
		r.state[collection][key] = string(records[i].Value)
	}
	return nil
}

// fill puts some records into two collections.
func (r *round) fill(ctx context.Context) error {
	var entries, notes []record
	for i := range 500 {
		entries = append(entries, record{Value: json.RawMessage(fmt.Sprintf(`{"entry":%d,"text":"größer, 12345678901234567890 🙂"}`, i))})
		key := fmt.Sprintf("note-%04d", i)
		notes = append(notes, record{Key: &key, Value: json.RawMessage(fmt.Sprintf(`["note",%d,null]`, i))})
	}
	if err := r.put(ctx, journal, entries); err != nil {
		return err
	}
	return r.put(ctx, scratch, notes)
}

// change updates and removes cities, adds to one collection and drops another.
func (r *round) change(ctx context.Context) error {
	keys := slices.Sorted(maps.Keys(r.state[cities]))
	var changed []record
	for i := range updates {
		key := keys[i*31%len(keys)]
		value := fmt.Sprintf(`{"name":"Changed %d","population":%d}`, i, i*i)
		changed = append(changed, record{Key: &key, Value: json.RawMessage(value)})
	}
	if err := r.put(ctx, cities, changed); err != nil {
		return err
	}
	var removed []string
	for i := range removals {
		removed = append(removed, keys[len(keys)-1-i*17])
	}
	const remove = `mutation($in: RemoveInput!) { remove(input: $in) { commitTs } }`
	input := map[string]any{"collection": cities, "keys": removed}
	if err := r.source.client.Data(ctx, remove, map[string]any{"in": input}, nil); err != nil {
		return err
	}
	for _, key := range removed {
		delete(r.state[cities], key)
	}
	if err := r.put(ctx, journal, []record{{Value: json.RawMessage(`"after the first backup"`)}}); err != nil {
		return err
	}
	const drop = `mutation { dropCollection(input: {collection: "scratch"}) { commitTs } }`
	if err := r.source.client.Data(ctx, drop, nil, nil); err != nil {
		return err
	}
	delete(r.state, scratch)
	return nil
}
