package main

import (
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/brockdb/brock/backup/fault"
)

// variable is the name of the environment variable that sets a flag.
func variable(flag string) string {
	return "BROCK_" + strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(flag))
}

// useEnvironment makes every flag of cmd settable by its variable, and says so
// in its help. An empty variable is as if it were not there.
func useEnvironment(cmd *cobra.Command) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		f.Usage += " (" + variable(f.Name) + ")"
	})
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) (err error) {
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			value := os.Getenv(variable(f.Name))
			if err != nil || f.Changed || value == "" || f.Name == "help" {
				return
			}
			if cause := cmd.Flags().Set(f.Name, value); cause != nil {
				err = fault.New(fault.Usage, "use environment variable "+variable(f.Name), "%w", cause).
					WithHint("correct or unset it; see %s --help", cmd.CommandPath())
			}
		})
		return err
	}
}
