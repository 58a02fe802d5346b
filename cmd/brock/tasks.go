package main

import (
	"context"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/brockdb/brock/graph/client/adminclient"
)

// tasksOptions are the flags of brock tasks.
type tasksOptions struct {
	remote remoteFlags
	output choice
}

func newTasks() *cobra.Command {
	o := new(tasksOptions)
	cmd := &cobra.Command{
		Use:   "tasks",
		Short: "List the tasks of a running alpha",
		Long: `Lists what an alpha does, will do and has done: backups and other long operations,
the newest first. Of the finished ones an alpha remembers the newest (--kept_tasks).`,
		Example: `  brock tasks
  brock tasks --alpha https://10.0.0.7:8080 --output json`,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), cmd) },
	}
	addChoice(cmd, &o.output, "output", "form of the list", "text", "json")
	o.remote.add(cmd)
	return cmd
}

func (o *tasksOptions) run(ctx context.Context, cmd *cobra.Command) error {
	admin, closeAlpha, err := o.remote.admin(ctx)
	if err != nil {
		return err
	}
	defer closeAlpha()
	answer, err := adminclient.Tasks(ctx, admin)
	if err != nil {
		return err
	}
	tasks := make([]taskJSON, len(answer.Tasks))
	for i := range answer.Tasks {
		tasks[i] = newTaskJSON(&answer.Tasks[i])
	}
	if o.output.value == "json" {
		return printJSON(cmd.OutOrStdout(), tasks)
	}
	if len(tasks) == 0 {
		say(cmd.ErrOrStderr(), "there are no tasks at %s\n", o.remote.alpha)
	}
	return printTasks(cmd.OutOrStdout(), tasks)
}

func printTasks(w io.Writer, tasks []taskJSON) error {
	if len(tasks) == 0 {
		return nil
	}
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	say(table, "ID\tKIND\tSTATUS\tQUEUED\tTOOK\tPHASE\tDONE\tREAD\tWHAT\n")
	for _, t := range tasks {
		say(table, "%s\t%s\t%s\t%s\t%s\t%s\t%.0f%%\t%s\t%s\n", t.ID, t.Kind, t.Status, t.QueuedAt.UTC().Format(time.DateTime),
			orDash(t.took()), orDash(t.Phase), t.Fraction*100, byteCount(t.RawBytes), orDash(t.what()))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, text.String())
	return err
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
