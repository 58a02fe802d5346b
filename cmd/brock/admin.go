package main

import (
	"context"

	"github.com/Khan/genqlient/graphql"
	"github.com/spf13/cobra"
)

func newAdmin() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "admin",
		Short: "Let a running alpha restore, verify, prune and copy",
		Long: `Tells a running alpha to do as a task what other commands do in a process of their
own. Paths, credentials and key files are those of the alpha's machine.`,
	}
	cmd.AddCommand(newAdminRestore(), newAdminVerify(), newAdminPrune(), newAdminCopy())
	return cmd
}

// queued is a command that queues a task at a running alpha.
type queued struct {
	remote remoteFlags
	follow follow
}

func (q *queued) add(cmd *cobra.Command) {
	q.follow.add(cmd)
	q.remote.add(cmd)
}

// run queues what submit asks for, and follows its task.
func (q *queued) run(ctx context.Context, cmd *cobra.Command, submit func(graphql.Client) (taskID *string, err error)) error {
	admin, closeAlpha, err := q.remote.admin(ctx)
	if err != nil {
		return err
	}
	defer closeAlpha()
	id, err := submit(admin)
	if err != nil {
		return err
	}
	return q.follow.task(ctx, cmd, admin, orZero(id))
}
