package main

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/brockdb/brock/backup/fault"
)

const rootHelp = `brock backs up BadgerDB while it is in use: full and incremental, encrypted, and
provably restorable.

  brock alpha -p data                        serve a database; backups start at /admin
  brock load -c cities -f cities.ndjson.gz   fill a collection
  brock lsbackup -l /backups                 list backups
  brock verify -l /backups --level full      prove that they are good
  brock restore -p restored -l /backups --force_zero=false
                                             make a database directory of one

Every flag can be set in the environment: --encryption_key_file is
BROCK_ENCRYPTION_KEY_FILE. A flag that is given beats its variable.

Data goes to stdout; progress, plans and errors go to stderr.`

// usageTemplate ends the help of every command.
const usageTemplate = `Usage:
  {{if .HasAvailableSubCommands}}{{.CommandPath}} COMMAND [flags]{{else}}{{.UseLine}}{{end}}
{{- if .HasExample}}

Examples:
{{.Example}}
{{- end}}
{{- if .HasAvailableSubCommands}}

Commands:
{{- range .Commands}}{{if or .IsAvailableCommand (eq .Name "help")}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}
{{- end}}
{{- if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsagesWrapped 100 | trimTrailingWhitespaces}}
{{- end}}

` + exitCodesHelp + `
`

// newRoot returns the command line as a whole.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "brock",
		Short: "Hot, incremental, encrypted, provably restorable backup for BadgerDB",
		Long:  rootHelp,
		Args:  noSuchCommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },

		SuggestionsMinimumDistance: 2,

		SilenceErrors: true, // run prints them
		SilenceUsage:  true,
	}
	root.SetUsageTemplate(usageTemplate)
	root.SetHelpCommand(newHelp())
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageError(cmd, err) })
	for _, cmd := range []*cobra.Command{
		newAlpha(), newLoad(), newDump(), newRestore(), newListBackups(), newVerify(), newVersion(),
	} {
		cmd.Flags().SortFlags = false
		cmd.Args = noArguments
		cmd.ValidArgsFunction = cobra.NoFileCompletions
		cmd.RunE = explained(cmd.RunE)
		useEnvironment(cmd)
		root.AddCommand(cmd)
	}
	return root
}

// newHelp stands in for cobra's command, which shows the root's help for what
// does not exist.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Show the help of a command",
		RunE: func(cmd *cobra.Command, args []string) error {
			topic, rest, err := cmd.Root().Find(args)
			if err == nil && len(rest) > 0 {
				err = noSuchCommand(cmd.Root(), rest)
			}
			if err != nil {
				return err
			}
			topic.InitDefaultHelpFlag()
			return topic.Help()
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
			for _, c := range cmd.Root().Commands() {
				if len(args) == 0 && c.IsAvailableCommand() {
					names = append(names, cobra.CompletionWithDesc(c.Name(), c.Short))
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
}

// explained makes an error that says nothing of the command one that does, so
// that execute can tell it from cobra's.
func explained(run func(*cobra.Command, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		err := run(cmd, args)
		var known *fault.Error
		if err == nil || errors.As(err, &known) {
			return err
		}
		kind := fault.Other
		if errors.Is(err, context.Canceled) || cmd.Context().Err() != nil {
			kind = fault.Canceled
		}
		return &fault.Error{Kind: kind, Op: "run " + cmd.CommandPath(), Err: err}
	}
}

// execute runs the command that the arguments name. What cobra itself refuses
// is an error of kind Usage.
func execute(ctx context.Context, root *cobra.Command) error {
	cmd, err := root.ExecuteContextC(ctx)
	var known *fault.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	return usageError(cmd, err)
}

func usageError(cmd *cobra.Command, err error) error {
	return fault.New(fault.Usage, "run "+cmd.CommandPath(), "%w", err).WithHint("see %s --help", cmd.CommandPath())
}

// noSuchCommand is reached with an argument only when no command has its name.
func noSuchCommand(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	e := fault.New(fault.Usage, "run brock", "there is no command %q", args[0])
	if similar := root.SuggestionsFor(args[0]); len(similar) > 0 {
		return e.WithHint("did you mean brock %s?", strings.Join(similar, " or brock "))
	}
	return e.WithHint("brock --help lists the commands")
}

func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usageError(cmd, fault.New(fault.Usage, "use argument "+args[0], "everything is a flag here"))
}
