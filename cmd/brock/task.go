package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/Khan/genqlient/graphql"
	"github.com/spf13/cobra"

	"github.com/brockdb/brock/graph/client/adminclient"
)

// taskOptions are the flags of brock task.
type taskOptions struct {
	remote remoteFlags
	watch  bool
	output choice
}

func newTask() *cobra.Command {
	o := new(taskOptions)
	cmd := &cobra.Command{
		Use:   "task ID",
		Short: "Show a task of a running alpha, and watch it",
		Long: `Shows one task. With --watch it shows how far the task is until it is over, and
fails when the task does. An interrupt ends the watching, not the task: brock cancel
does that.`,
		Example: `  brock task 0x2a1c33e9f0b14a67
  brock task 0x2a1c33e9f0b14a67 --watch`,
		Args:              oneArgument("ID of a task; brock tasks lists them"),
		ValidArgsFunction: o.remote.completeTasks,
		RunE:              func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), cmd, args[0]) },
	}
	cmd.Flags().BoolVarP(&o.watch, "watch", "w", false, "wait for the task's end and show its progress")
	addChoice(cmd, &o.output, "output", "form of the task", "text", "json")
	o.remote.add(cmd)
	return cmd
}

func (o *taskOptions) run(ctx context.Context, cmd *cobra.Command, id string) error {
	admin, closeAlpha, err := o.remote.admin(ctx)
	if err != nil {
		return err
	}
	defer closeAlpha()
	if !o.watch {
		task, err := askTask(ctx, admin, id)
		if err != nil {
			return err
		}
		return task.print(cmd.OutOrStdout(), o.output)
	}
	task, err := watch(ctx, admin, id, "task "+id, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	return errors.Join(task.print(cmd.OutOrStdout(), o.output), task.failure())
}

func askTask(ctx context.Context, admin graphql.Client, id string) (*taskJSON, error) {
	answer, err := adminclient.Task(ctx, admin, id)
	if err != nil {
		return nil, err
	}
	task := newTaskJSON(answer.Task)
	return &task, nil
}

func (t *taskJSON) print(w io.Writer, output choice) error {
	if output.value == "json" {
		return printJSON(w, t)
	}
	_, err := io.WriteString(w, t.lines())
	return err
}

// completeTasks offers the ids of the tasks, if the alpha tells them.
func (r *remoteFlags) completeTasks(cmd *cobra.Command, args []string, _ string) (ids []string, _ cobra.ShellCompDirective) {
	admin, closeAlpha, err := r.forCompletion(cmd)
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer closeAlpha()
	answer, err := adminclient.Tasks(cmd.Context(), admin)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	for _, t := range answer.Tasks {
		ids = append(ids, cobra.CompletionWithDesc(t.Id, fmt.Sprintf("%s %s", t.Kind, t.Status)))
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}
