// Package admin is the schema behind /admin, which is Dgraph's: backups and
// the tasks that make them.
package admin

import (
	"context"

	"github.com/brockdb/brock/worker"
	"github.com/brockdb/brock/worker/task"
)

// Node is what the resolvers need of a node.
type Node interface {
	SubmitBackup(ctx context.Context, q worker.BackupRequest) (taskID string, err error)
	SubmitRestore(ctx context.Context, q worker.RestoreRequest) (taskID string, err error)
	ListBackups(ctx context.Context, q worker.ListRequest) (*worker.Listed, error)
	SubmitCopy(ctx context.Context, q worker.CopyRequest) (taskID string, err error)
	Task(id string) (task.Task, error)
	Tasks() []task.Task
	CancelTask(ctx context.Context, id string) error
	Maintainer
	Planner
}

// Resolver is the root of the schema. States tells the state of the servers.
type Resolver struct {
	Node   Node
	States func() []*NodeState
	Users  Users // nil when there are none
}

// Query returns the resolver of queries.
func (r *Resolver) Query() QueryResolver { return query{r} }

// Mutation returns the resolver of mutations.
func (r *Resolver) Mutation() MutationResolver { return mutation{r} }

type mutation struct{ *Resolver }

func (m mutation) Backup(ctx context.Context, input BackupInput) (*BackupPayload, error) {
	id, err := m.Node.SubmitBackup(ctx, worker.BackupRequest{
		Destination: input.Destination,
		ForceFull:   input.ForceFull != nil && *input.ForceFull,
		Credentials: credentials(input.AccessKey, input.SecretKey, input.SessionToken, input.Anonymous),
		Selection:   selection(input.Include, input.Exclude, input.Namespaces),
		Tuning: worker.Tuning{
			CPUPercentage: input.CPUPercentage, ChunkSizeMB: input.ChunkSizeMb, CompressionLevel: string(value(input.CompressionLevel)),
		},
	})
	if err != nil {
		return nil, err
	}
	message := "Backup queued with ID " + id
	return &BackupPayload{Response: success(message), TaskID: &id}, nil
}
