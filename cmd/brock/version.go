package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

// versionJSON is the version: docs/cli-json.md promises its form.
type versionJSON struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func newVersion() *cobra.Command {
	var output choice
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Long:  "Prints the version of brock, and of the Go that built it.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := versionJSON{versionText(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
			if output.value == "json" {
				return printJSON(cmd.OutOrStdout(), v)
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "brock %s %s %s\n", v.Version, v.Go, v.Platform)
			return err
		},
	}
	addChoice(cmd, &output, "output", "form of the version", "text", "json")
	return cmd
}
