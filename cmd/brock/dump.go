package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/brockdb/brock/graph/client"
)

// dumpOptions are the flags of brock dump.
type dumpOptions struct {
	remote     remoteFlags
	namespace  string
	collection string
	out        string
}

func newDump() *cobra.Command {
	o := new(dumpOptions)
	cmd := &cobra.Command{
		Use:   "dump -c COLLECTION",
		Short: "Write a collection of a running alpha as lines of JSON",
		Long: `Writes all records of a collection, one JSON object {"key": …, "value": …} per
line, in the order of the keys' bytes, as of one commit. brock load reads it.

A transfer that breaks off is an error; with --out it leaves no file, and a file of
that name as it was.`,
		Example: `  brock dump -c cities | head -n 3
  brock dump -c cities -o cities.ndjson`,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), cmd) },
	}
	addCollection(cmd, &o.namespace, &o.collection)
	cmd.Flags().StringVarP(&o.out, "out", "o", "", "`FILE` to write instead of standard output")
	o.remote.add(cmd)
	return cmd
}

func (o *dumpOptions) run(ctx context.Context, cmd *cobra.Command) error {
	alpha, err := o.remote.connect(ctx)
	if err != nil {
		return err
	}
	defer alpha.Close()
	if o.out == "" || o.out == "-" {
		stdout := cmd.OutOrStdout()
		if terminalWidth(stdout) != nil { // where a bar would stand amid the records
			_, err = alpha.Dump(ctx, o.namespace, o.collection, stdout)
			return err
		}
		return o.dump(ctx, cmd, alpha, stdout)
	}
	return writeFile(o.out, func(w io.Writer) error { return o.dump(ctx, cmd, alpha, w) })
}

func (o *dumpOptions) dump(ctx context.Context, cmd *cobra.Command, alpha *client.Client, w io.Writer) error {
	written := &countingWriter{w: w}
	stop := startMeter(cmd.ErrOrStderr(), "dump "+o.collection, func() moment { return moment{bytes: written.n.Load()} })
	dumped, err := alpha.Dump(ctx, o.namespace, o.collection, written)
	stop()
	if err != nil {
		return err
	}
	say(cmd.ErrOrStderr(), "%d records of %s/%s, %s, as of commit %d\n",
		dumped.Records, o.namespace, o.collection, byteCount(dumped.Bytes), dumped.ReadTs)
	return nil
}
