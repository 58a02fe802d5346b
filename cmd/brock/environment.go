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

// useSettings makes every flag of cmd settable by its variable, which its help
// names, and by the file of --config. What is on the command line beats the
// variable, which beats the file. An empty variable is as if it were not there.
func useSettings(cmd *cobra.Command) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		f.Usage += " (" + variable(f.Name) + ")"
	})
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		config, err := readConfig(cmd)
		if err != nil {
			return err
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if err != nil || f.Changed || f.Name == "help" {
				return
			}
			if err = useVariable(cmd, f); err == nil && !f.Changed {
				err = config.use(cmd, f)
			}
		})
		return err
	}
}

func useVariable(cmd *cobra.Command, f *pflag.Flag) error {
	value := os.Getenv(variable(f.Name))
	if value == "" {
		return nil
	}
	if err := cmd.Flags().Set(f.Name, value); err != nil {
		return fault.New(fault.Usage, "use environment variable "+variable(f.Name), "%w", err).
			WithHint("correct or unset it; see %s --help", cmd.CommandPath())
	}
	return nil
}
