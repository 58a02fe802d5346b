package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/brockdb/brock/graph/client/adminclient"
)

// cancelOptions are the flags of brock cancel.
type cancelOptions struct {
	remote remoteFlags
	wait   bool
	output choice
}

func newCancel() *cobra.Command {
	o := new(cancelOptions)
	cmd := &cobra.Command{
		Use:   "cancel ID",
		Short: "Cancel a task of a running alpha",
		Long: `Cancels a task. One that waits never begins; one that runs stops soon and leaves
nothing that looks finished.`,
		Example: `  brock cancel 0x2a1c33e9f0b14a67
  brock cancel 0x2a1c33e9f0b14a67 --wait`,
		Args:              oneArgument("ID of a task; brock tasks lists them"),
		ValidArgsFunction: o.remote.completeTasks,
		RunE:              func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), cmd, args[0]) },
	}
	cmd.Flags().BoolVar(&o.wait, "wait", false, "wait until the task is over")
	addChoice(cmd, &o.output, "output", "form of the task", "text", "json")
	o.remote.add(cmd)
	return cmd
}

func (o *cancelOptions) run(ctx context.Context, cmd *cobra.Command, id string) error {
	admin, closeAlpha, err := o.remote.admin(ctx)
	if err != nil {
		return err
	}
	defer closeAlpha()
	if _, err := adminclient.CancelTask(ctx, admin, id); err != nil {
		return err
	}
	task, err := askTask(ctx, admin, id)
	if err == nil && o.wait {
		task, err = watch(ctx, admin, id, "cancel "+id, cmd.ErrOrStderr())
	}
	if err != nil {
		return err
	}
	if o.output.value == "json" {
		return printJSON(cmd.OutOrStdout(), task)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "task %s: %s\n", id, task.Status)
	return err
}
