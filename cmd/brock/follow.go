package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/Khan/genqlient/graphql"
	"github.com/spf13/cobra"

	"github.com/brockdb/brock/graph/client/adminclient"
)

// follow is what commands that queue a task do after that.
type follow struct {
	wait   bool
	output choice
}

func (f *follow) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.wait, "wait", false, "wait for the task's end and show its progress; an interrupt cancels it")
	addChoice(cmd, &f.output, "output", "form of the task", "text", "json")
}

// task prints the id of a queued task or, when the command waits, what it came
// to: it fails when the task does.
func (f *follow) task(ctx context.Context, cmd *cobra.Command, admin graphql.Client, id string) error {
	stdout := cmd.OutOrStdout()
	if !f.wait {
		if f.output.value == "text" {
			_, err := fmt.Fprintln(stdout, id)
			return err
		}
		task, err := askTask(ctx, admin, id)
		if err != nil {
			return err
		}
		return printJSON(stdout, task)
	}
	task, err := watchOrCancel(ctx, admin, id, cmd.Name(), cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	if f.output.value == "json" {
		err = printJSON(stdout, task)
	} else if task.failure() == nil { // which is said on stderr
		_, err = fmt.Fprintln(stdout, task.summary())
	}
	return errors.Join(err, task.failure())
}

// summary is one line about a task that succeeded.
func (t *taskJSON) summary() string {
	if t.Kind == string(adminclient.TaskKindBackup) {
		return fmt.Sprintf("backup %d of series %s: %s/%s, %d records, %s, stored %s, %s",
			t.BackupNum, t.BackupID, t.Destination, t.Path, t.Records, byteCount(t.RawBytes), byteCount(t.StoredBytes), t.took())
	}
	return fmt.Sprintf("%s: %d records, %s, %s", strings.ToLower(t.Kind), t.Records, byteCount(t.RawBytes), t.took())
}
