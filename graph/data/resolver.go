// Package data is the schema behind /graphql: collections and their records.
package data

import (
	"context"

	"github.com/brockdb/brock/worker/store"
)

// Node is what the resolvers need of a node.
type Node interface {
	Propose(ctx context.Context, b *store.Batch) (commitTs uint64, err error)
	View() (*store.View, error)
}

// Resolver is the root of the schema.
type Resolver struct{ Node Node }

// Query returns the resolver of queries.
func (r *Resolver) Query() QueryResolver { return query{r.Node} }

// Mutation returns the resolver of mutations.
func (r *Resolver) Mutation() MutationResolver { return mutation{r.Node} }
