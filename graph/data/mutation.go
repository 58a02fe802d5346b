package data

import (
	"context"
	"encoding/json"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/worker/store"
)

type mutation struct{ node Node }

func (m mutation) commit(ctx context.Context, b *store.Batch) (*CommitPayload, error) {
	ts, err := m.node.Propose(ctx, b)
	if err != nil {
		return nil, err
	}
	return &CommitPayload{CommitTs: ts}, nil
}

func (m mutation) CreateCollection(ctx context.Context, input CreateCollectionInput) (*CommitPayload, error) {
	return m.commit(ctx, &store.Batch{Creates: []store.Create{{
		Namespace: input.Namespace, Collection: input.Collection, Schema: json.RawMessage(input.Schema),
	}}})
}

func (m mutation) DropCollection(ctx context.Context, input DropCollectionInput) (*CommitPayload, error) {
	return m.commit(ctx, &store.Batch{Drops: []store.Ref{{Namespace: input.Namespace, Collection: input.Collection}}})
}

func (m mutation) Put(ctx context.Context, input PutInput) (*PutPayload, error) {
	b := &store.Batch{Puts: make([]store.Put, len(input.Records))}
	for i, record := range input.Records {
		put := store.Put{Namespace: input.Namespace, Collection: input.Collection, Value: record.Value}
		if record.Key != nil {
			if put.Key = *record.Key; put.Key == "" {
				return nil, fault.New(fault.Usage, "put records into "+input.Namespace+"/"+input.Collection,
					"the key of record %d is empty", i+1).WithHint("leave the key out to get a new uid")
			}
		}
		b.Puts[i] = put
	}
	ts, err := m.node.Propose(ctx, b)
	if err != nil {
		return nil, err
	}
	payload := &PutPayload{CommitTs: ts, Keys: make([]string, len(b.Puts))}
	for i := range b.Puts {
		payload.Keys[i] = b.Puts[i].Key
	}
	return payload, nil
}

func (m mutation) Remove(ctx context.Context, input RemoveInput) (*CommitPayload, error) {
	b := &store.Batch{Removes: make([]store.Remove, len(input.Keys))}
	for i, key := range input.Keys {
		b.Removes[i] = store.Remove{Namespace: input.Namespace, Collection: input.Collection, Key: key}
	}
	return m.commit(ctx, b)
}
