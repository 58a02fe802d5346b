package worker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/archive"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
	"github.com/brockdb/brock/ee"
	"github.com/brockdb/brock/restore"
	"github.com/brockdb/brock/worker/store"
)

// The forms of an export.
const (
	NDJSON = "ndjson" // {"key":…,"value":…} per line, as /load reads it
	CSV    = "csv"    // RFC 4180 with a header
)

// Export reads the records of one collection straight out of a backup. Of the
// parts it reads the chunks only that hold the catalog or can hold the
// collection; memory is bounded by a chunk of each backup of the chain.
type Export struct {
	Source destination.Destination
	restore.Point
	Keys       ee.KeyRing
	Namespace  string // "" means the default one
	Collection string
	Format     string
	// Fields are the members of the values that become columns of a CSV, beside
	// the key; without any there is one column with the value as JSON.
	Fields   []string
	Progress *backup.Progress // may be nil
}

// Exported is what an export came to.
type Exported struct {
	Records int64
	Backup  *manifest.Manifest // the last one of the chain
}

// Run writes the records to w in the order of their keys. After an error what was
// written is a beginning of it.
func (e *Export) Run(ctx context.Context, w io.Writer) (*Exported, error) {
	if e.Namespace == "" {
		e.Namespace = store.DefaultNamespace
	}
	name := e.Namespace + "/" + e.Collection
	switch {
	case e.Collection == "" || strings.ContainsAny(e.Namespace+e.Collection, "/*,"):
		return nil, fault.New(fault.Usage, "export", "%.80q names no single collection", name).
			WithHint("name one collection, and its namespace beside it")
	case e.Format != NDJSON && e.Format != CSV:
		return nil, fault.New(fault.Usage, "export", "form %.80q is neither %s nor %s", e.Format, NDJSON, CSV)
	case e.Format != CSV && len(e.Fields) > 0:
		return nil, fault.New(fault.Usage, "export", "fields are of a CSV, and the form is %s", e.Format)
	}
	selection := manifest.Selection{Include: []string{name}}
	reader := &restore.Reader{Source: e.Source, Point: e.Point, Keys: e.Keys, Progress: e.Progress}
	plan, err := reader.Plan(ctx, func() restore.Schema {
		return &restoreSchema{Catalog: store.NewCatalog(), selection: selection, listAll: true}
	})
	if err != nil {
		return nil, err
	}
	mark, err := backup.Reading(ctx, e.Source, "export", plan.Newest())
	if err != nil {
		return nil, err
	}
	defer func() { _ = mark.Release(context.WithoutCancel(ctx)) }() // it expires
	out := bufio.NewWriterSize(w, 64<<10)
	emit, flush := e.writer(out)
	done := &Exported{Backup: plan.Newest()}
	for i := range plan.Groups {
		err := reader.Read(ctx, plan, plan.Groups[i].Group, func(rec *archive.Record) error {
			_, key, ok := store.RecordOf(rec.Key)
			if !ok {
				return fault.New(fault.Corrupt, "export "+name, "the backup holds the key %x where records are", rec.Key)
			}
			done.Records++
			return emit(key, rec.Value)
		})
		if err != nil {
			return nil, errors.Join(fault.Wrap(err, "export %s", name), flush(), out.Flush())
		}
	}
	e.Progress.Enter(backup.PhaseDone)
	return done, fault.Wrap(errors.Join(flush(), out.Flush()), "write the export of %s", name)
}

// writer returns what writes a record in the chosen form, and what ends it.
func (e *Export) writer(out *bufio.Writer) (emit func(key, value []byte) error, flush func() error) {
	if e.Format == CSV {
		return e.csvWriter(out)
	}
	var line bytes.Buffer
	text := json.NewEncoder(&line)
	text.SetEscapeHTML(false)
	return func(key, value []byte) error {
		line.Reset()
		line.WriteString(`{"key":`)
		if err := text.Encode(string(key)); err != nil {
			return err
		}
		line.Truncate(line.Len() - 1) // the newline of Encode
		line.WriteString(`,"value":`)
		line.Write(value)
		line.WriteString("}\n")
		_, err := out.Write(line.Bytes())
		return err
	}, func() error { return nil }
}

func (e *Export) csvWriter(out io.Writer) (emit func(key, value []byte) error, flush func() error) {
	table := csv.NewWriter(out)
	header := append([]string{"key"}, e.Fields...)
	if len(e.Fields) == 0 {
		header = append(header, "value")
	}
	begin := table.Write(header) // an error stays with the writer
	row := make([]string, len(header))
	return func(key, value []byte) error {
			if begin != nil {
				return begin
			}
			row[0] = string(key)
			if len(e.Fields) == 0 {
				row[1] = string(value)
				return table.Write(row)
			}
			var members map[string]json.RawMessage
			_ = json.Unmarshal(value, &members) // what is no object has no members
			for i, field := range e.Fields {
				row[i+1] = cell(members[field])
			}
			return table.Write(row)
		}, func() error {
			table.Flush()
			return errors.Join(begin, table.Error())
		}
}

// cell is a member of a value as a cell: the text of a string, nothing for null
// and for what is missing, JSON else.
func cell(member json.RawMessage) string {
	var text string
	switch {
	case len(member) == 0 || string(member) == "null":
		return ""
	case json.Unmarshal(member, &text) == nil:
		return text
	}
	return string(member)
}
