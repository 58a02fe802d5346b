package data

import (
	"context"
	"errors"
	"slices"

	"github.com/99designs/gqlgen/graphql"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/graph/jsontext"
	"github.com/brockdb/brock/worker/store"
)

// Limits of a page. One that reaches either ends there.
const (
	maxPageRecords = 10_000
	maxPageBytes   = 8 << 20 // of keys and values; a page has one record at least
)

// allNamespaces can be no namespace's name.
const allNamespaces = "*"

type query struct{ node Node }

func (q query) Namespaces(context.Context) ([]string, error) {
	view, err := q.node.View()
	if err != nil {
		return nil, err
	}
	defer view.Close()
	names, err := view.Namespaces()
	if names == nil {
		names = []string{} // null would say that the field failed
	}
	return names, err
}

func (q query) Collections(ctx context.Context, namespace string) ([]*Collection, error) {
	view, err := q.node.View()
	if err != nil {
		return nil, err
	}
	defer view.Close()
	switch namespace {
	case allNamespaces:
		namespace = "" // of all, to the view
	case "":
		namespace = store.DefaultNamespace
	}
	found, err := view.Collections(namespace)
	if err != nil {
		return nil, err
	}
	var counts map[uint64]int64
	if len(found) > 0 && graphql.FieldRequested(ctx, "count") {
		if counts, err = view.Counts(ctx); err != nil {
			return nil, err
		}
	}
	list := make([]*Collection, len(found))
	for i, c := range found {
		list[i] = &Collection{
			Namespace: c.Namespace, Name: c.Name, ID: c.ID, Schema: jsontext.Value(c.Schema),
			CreatedTs: c.CreatedTs, Count: counts[c.ID], State: stateOf(c),
		}
	}
	return list, nil
}

func stateOf(c store.Collection) CollectionState {
	if c.Restoring {
		return CollectionStateRestoring
	}
	return CollectionStateReady
}

func (q query) Record(_ context.Context, namespace, collection, key string) (*Record, error) {
	view, err := q.node.View()
	if err != nil {
		return nil, err
	}
	defer view.Close()
	if _, err := view.Lookup(namespace, collection); err != nil {
		return nil, err
	}
	value, version, err := view.Get(namespace, collection, key)
	switch {
	case fault.Is(err, fault.NotFound): // the collection is there, the record is not
		return nil, nil
	case err != nil:
		return nil, err
	}
	return &Record{Key: key, Value: value, Version: version}, nil
}

// errPageFull ends a scan when there is a record that the page has no room for.
var errPageFull = errors.New("page is full")

func (q query) Records(ctx context.Context, namespace, collection string, prefix, from, to, after *string, first int) (*RecordPage, error) {
	if first < 1 || first > maxPageRecords {
		return nil, fault.New(fault.Usage, "list records", "first is %d; it must be from 1 to %d", first, maxPageRecords)
	}
	view, err := q.node.View()
	if err != nil {
		return nil, err
	}
	defer view.Close()
	page := &RecordPage{ReadTs: view.ReadTs(), Records: []*Record{}}
	bytes := 0
	options := store.ScanOptions{Prefix: text(prefix), From: text(from), To: text(to), After: text(after)}
	err = view.Scan(ctx, namespace, collection, options, func(key string, value []byte, version uint64) error {
		if len(page.Records) == first || bytes >= maxPageBytes {
			return errPageFull
		}
		bytes += len(key) + len(value)
		page.Records = append(page.Records, &Record{Key: key, Value: slices.Clone(value), Version: version})
		return nil
	})
	if errors.Is(err, errPageFull) {
		page.Next = &page.Records[len(page.Records)-1].Key
		err = nil
	}
	if err != nil {
		return nil, err
	}
	return page, nil
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
