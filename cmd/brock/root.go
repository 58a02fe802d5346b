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
  brock backup -d /backups --wait            back it up
  brock load -c cities -f cities.ndjson.gz   fill a collection
  brock lsbackup -l /backups                 list backups
  brock verify -l /backups --level full      prove that they are good
  brock restore -p restored -l /backups --force_zero=false
                                             make a database directory of one

Every flag can be set in the environment: --encryption_key_file is
BROCK_ENCRYPTION_KEY_FILE; and in a file (--config): a section for each command, in
it its flags. A flag that is given beats its variable, which beats the file.

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

		SuggestionsMinimumDistance: suggestDistance,

		SilenceErrors: true, // run prints them
		SilenceUsage:  true,
	}
	root.SetUsageTemplate(usageTemplate)
	root.SetHelpCommand(newHelp())
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageError(cmd, err) })
	root.PersistentFlags().String(configFlag, "", "`FILE` (YAML) that sets flags which are given neither on the command line nor in the environment ("+variable(configFlag)+")")
	for _, cmd := range []*cobra.Command{
		newAlpha(),
		newUser(),
		newLogin(),
		newLoad(),
		newDump(),
		newBackup(),
		newTasks(),
		newTask(),
		newCancel(),
		newStatus(),
		newSchedule(),
		newAdmin(),
		newRestore(),
		newListBackups(),
		newVerify(),
		newPrune(),
		newExport(),
		newCopy(),
		newRekey(),
		newStorage(),
		newMan(),
		newVersion(),
	} {
		settle(cmd)
		root.AddCommand(cmd)
	}
	return root
}

// settle gives a command, and those below it, what all commands have.
func settle(cmd *cobra.Command) {
	cmd.Flags().SortFlags = false
	if cmd.HasSubCommands() {
		cmd.Args = noSuchCommand
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		cmd.SuggestionsMinimumDistance = suggestDistance
		for _, below := range cmd.Commands() {
			settle(below)
		}
		return
	}
	if cmd.Args == nil {
		cmd.Args = noArguments
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	cmd.RunE = explained(cmd.RunE)
	useSettings(cmd)
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
				err = noSuchCommand(topic, rest)
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

// usageError is what is wrong with a command line, with the way out: the flag
// that was probably meant, or the help.
func usageError(cmd *cobra.Command, err error) error {
	e := fault.New(fault.Usage, "run "+cmd.CommandPath(), "%w", err)
	if meant := similarFlag(cmd, err); meant != "" {
		return e.WithHint("did you mean %s? see %s --help", meant, cmd.CommandPath())
	}
	return e.WithHint("see %s --help", cmd.CommandPath())
}

// noSuchCommand is reached with an argument only when no command below parent
// has its name.
func noSuchCommand(parent *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	path := parent.CommandPath()
	e := fault.New(fault.Usage, "run "+path, "there is no command %q", args[0])
	if similar := parent.SuggestionsFor(args[0]); len(similar) > 0 {
		return e.WithHint("did you mean %s %s?", path, strings.Join(similar, " or "+path+" "))
	}
	return e.WithHint("%s --help lists the commands", path)
}

func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usageError(cmd, fault.New(fault.Usage, "use argument "+args[0], "everything is a flag here"))
}

// oneArgument asks for exactly one argument, and says what it is.
func oneArgument(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == 0:
			return usageError(cmd, fault.New(fault.Usage, "use the arguments", "one is missing: the %s", what))
		case len(args) > 1:
			return usageError(cmd, fault.New(fault.Usage, "use argument "+args[1], "there is one argument: the %s", what))
		}
		return nil
	}
}
