package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/Khan/genqlient/graphql"
	"github.com/spf13/cobra"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/graph/client/adminclient"
)

// statusOptions are the flags of brock status.
type statusOptions struct {
	remote remoteFlags
	check  bool
	output choice
}

func newStatus() *cobra.Command {
	o := new(statusOptions)
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how a running alpha is",
		Long: `Shows how an alpha is and what it is doing. With --check it fails unless all is well,
for monitors and health checks.`,
		Example: `  brock status
  brock status --check --output json`,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), cmd) },
	}
	cmd.Flags().BoolVar(&o.check, "check", false, "fail unless all is well")
	addChoice(cmd, &o.output, "output", "form of the status", "text", "json")
	o.remote.add(cmd)
	return cmd
}

// statusJSON is how an alpha is: docs/cli-json.md promises its form.
type statusJSON struct {
	Good    bool         `json:"good"`
	Problem []string     `json:"problems"`
	Servers []serverJSON `json:"servers"`
}

type serverJSON struct {
	Instance      string   `json:"instance"`
	Address       string   `json:"address"`
	Status        string   `json:"status"`
	Group         string   `json:"group"`
	Version       string   `json:"version"`
	UptimeSeconds int64    `json:"uptime_seconds"`
	Ongoing       []string `json:"ongoing"`
}

func (o *statusOptions) run(ctx context.Context, cmd *cobra.Command) error {
	admin, closeAlpha, err := o.remote.admin(ctx)
	if err != nil {
		return err
	}
	defer closeAlpha()
	status, err := askStatus(ctx, admin)
	if err != nil {
		return err
	}
	if o.output.value == "json" {
		err = printJSON(cmd.OutOrStdout(), status)
	} else {
		_, err = io.WriteString(cmd.OutOrStdout(), status.lines())
	}
	if err != nil || !o.check || status.Good {
		return err
	}
	return fault.New(fault.Other, "call the alpha at "+o.remote.alpha+" well", "%s", strings.Join(status.Problem, "; "))
}

func askStatus(ctx context.Context, admin graphql.Client) (*statusJSON, error) {
	answer, err := adminclient.Health(ctx, admin)
	if err != nil {
		return nil, err
	}
	s := &statusJSON{Problem: []string{}}
	for _, server := range answer.Health {
		s.Servers = append(s.Servers, serverJSON{
			Instance: server.Instance, Address: server.Address, Status: server.Status, Group: server.Group,
			Version: server.Version, UptimeSeconds: server.Uptime, Ongoing: server.Ongoing,
		})
		if server.Status != "healthy" {
			s.Problem = append(s.Problem, fmt.Sprintf("%s at %s is %s", server.Instance, server.Address, server.Status))
		}
	}
	s.Good = len(s.Problem) == 0
	return s, nil
}

// lines are the status for people.
func (s *statusJSON) lines() string {
	var text strings.Builder
	for _, server := range s.Servers {
		say(&text, "%s at %s: %s, group %s, version %s, up %s\n", server.Instance, server.Address, server.Status, server.Group,
			server.Version, time.Duration(server.UptimeSeconds)*time.Second)
		if len(server.Ongoing) > 0 {
			say(&text, "  under way: %s\n", strings.Join(server.Ongoing, ", "))
		}
	}
	return text.String()
}
