package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Between these lines docs/cli.md is made of the commands themselves.
const (
	referenceBegin = "<!-- made by go test ./cmd/brock -run TestDocs -update -->\n"
	referenceEnd   = "<!-- end -->\n"
)

// TestDocs compares docs/cli.md with the commands, or writes its part of them
// with -update.
func TestDocs(t *testing.T) {
	const page = "../../docs/cli.md"
	before, rest, begun := strings.Cut(read(t, page), referenceBegin)
	got, after, ended := strings.Cut(rest, referenceEnd)
	if !begun || !ended {
		t.Fatalf("%s lacks the lines around what is made", page)
	}
	want := reference(newRoot())
	if got == want {
		return
	}
	if *update {
		if err := os.WriteFile(page, []byte(before+referenceBegin+want+referenceEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("%s differs from the commands (go test ./cmd/brock -run TestDocs -update writes it)", page)
}

// reference has a section for each command that does something, with a table of
// its flags.
func reference(root *cobra.Command) string {
	var text strings.Builder
	for _, cmd := range commands(root) {
		if cmd.HasSubCommands() || cmd.Name() == "help" {
			continue
		}
		fmt.Fprintf(&text, "\n### %s\n\n%s. `%s`\n", cmd.CommandPath(), cmd.Short, cmd.UseLine())
		rows := ""
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden && f.Name != "help" {
				rows += row(f)
			}
		})
		if rows != "" {
			text.WriteString("\n| flag | default | |\n|---|---|---|\n" + rows)
		}
	}
	return text.String() + "\n"
}

func row(f *pflag.Flag) string {
	value, usage := pflag.UnquoteUsage(f)
	usage = strings.TrimSuffix(usage, " ("+variable(f.Name)+")")
	name := "--" + f.Name
	if f.Shorthand != "" {
		name = "-" + f.Shorthand + " " + name
	}
	if value != "" {
		name += " " + value
	}
	standard := f.DefValue
	if standard != "" && standard != "[]" {
		standard = "`" + standard + "`"
	} else {
		standard = ""
	}
	escape := strings.NewReplacer("|", `\|`, "<", "&lt;")
	return fmt.Sprintf("| `%s` | %s | %s |\n", strings.ReplaceAll(name, "|", `\|`), standard, escape.Replace(usage))
}
