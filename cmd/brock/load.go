package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/graph/client"
)

// loadOptions are the flags of brock load.
type loadOptions struct {
	remote     remoteFlags
	namespace  string
	collection string
	file       string
	output     choice
}

func newLoad() *cobra.Command {
	o := new(loadOptions)
	cmd := &cobra.Command{
		Use:   "load -c COLLECTION -f FILE",
		Short: "Load records into a collection of a running alpha",
		Long: `Loads a file of records, one JSON object {"key": …, "value": …} per line, plain or
gzip, into a collection, which is created if missing. A record without a key gets
a new uid as its key; one with a known key replaces what is stored.

Records are stored in batches, in the order of the lines, and are durable when the
command returns. A line that cannot be stored ends it: the records before that line
are stored, those after it are not.`,
		Example: `  brock load -c cities -f cities.ndjson.gz
  generate | brock load --alpha http://10.0.0.7:8080 -c events -f -`,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), cmd) },
	}
	addCollection(cmd, &o.namespace, &o.collection)
	cmd.Flags().StringVarP(&o.file, "file", "f", "", "`FILE` to load; - is standard input")
	require(cmd, "file")
	addChoice(cmd, &o.output, "output", "form of the result", "text", "json")
	o.remote.add(cmd)
	return cmd
}

func addCollection(cmd *cobra.Command, namespace, collection *string) {
	cmd.Flags().StringVar(namespace, "namespace", "default", "`NAMESPACE` that the collection is in")
	cmd.Flags().StringVarP(collection, "collection", "c", "", "name of the `COLLECTION`")
	require(cmd, "collection")
	completeNothing(cmd, "namespace", "collection")
}

func (o *loadOptions) run(ctx context.Context, cmd *cobra.Command) (err error) {
	alpha, err := o.remote.connect(ctx)
	if err != nil {
		return err
	}
	defer alpha.Close()
	in, size, err := openInput(o.file)
	if err != nil {
		return err
	}
	defer in.Close() // only read
	began := time.Now()
	read := &countingReader{r: in}
	stop := startMeter(cmd.ErrOrStderr(), "load "+o.collection, read.progress(size))
	loaded, err := alpha.Load(ctx, o.namespace, o.collection, read)
	stop()
	if err != nil {
		return lineHint(err, o.file)
	}
	if o.output.value == "json" {
		return printJSON(cmd.OutOrStdout(), o.json(loaded))
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d records loaded into %s/%s in %d batches, %s, commit %d, %s\n",
		loaded.Records, o.namespace, o.collection, loaded.Batches, byteCount(loaded.Bytes), loaded.CommitTs,
		time.Since(began).Round(time.Millisecond))
	return err
}

// loadedJSON is what was loaded: docs/cli-json.md promises its form.
type loadedJSON struct {
	Namespace  string `json:"namespace"`
	Collection string `json:"collection"`
	Records    int64  `json:"records"`
	Batches    int64  `json:"batches"`
	Bytes      int64  `json:"bytes"`
	CommitTs   uint64 `json:"commit_ts"`
}

func (o *loadOptions) json(l *client.Loaded) loadedJSON {
	return loadedJSON{o.namespace, o.collection, l.Records, l.Batches, l.Bytes, l.CommitTs}
}

// lineHint says how to go on after a line that was refused.
func lineHint(err error, file string) error {
	var bad *client.LineError
	if !errors.As(err, &bad) || bad.Line == 0 || fault.HintOf(err) != "" {
		return err
	}
	return &fault.Error{Kind: fault.KindOf(err), Op: "load " + file, Err: bad,
		Hint: fmt.Sprintf("correct line %d and load the file again, or from that line on: tail -n +%d", bad.Line, bad.Line)}
}
