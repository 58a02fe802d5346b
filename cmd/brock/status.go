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
	remote      remoteFlags
	destination string
	check       bool
	maxAge      time.Duration
	output      choice
}

func newStatus() *cobra.Command {
	o := new(statusOptions)
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how a running alpha and its backups are",
		Long: `Shows how an alpha is, what it is doing, and how it stands with its backups at each
destination: how old the newest is, what comes next, and what to look at. With --check
it fails unless all is well, for monitors and health checks.`,
		Example: `  brock status
  brock status --check --max_age 26h
  brock status -d s3:///bucket/backups --output json`,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), cmd) },
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.destination, "destination", "d", "", "`URI` of backups to look at; empty means all that are known")
	flags.BoolVar(&o.check, "check", false, "fail unless all is well")
	flags.DurationVar(&o.maxAge, "max_age", 0, "`AGE` of the newest backup at a destination beyond which not all is well; 0 means any")
	addChoice(cmd, &o.output, "output", "form of the status", "text", "json")
	o.remote.add(cmd)
	completeNothing(cmd, "destination", "max_age")
	return cmd
}

// statusJSON is how an alpha is: docs/cli-json.md promises its form.
type statusJSON struct {
	Good     bool          `json:"good"`
	Problems []string      `json:"problems"`
	Servers  []serverJSON  `json:"servers"`
	Backups  []backupsJSON `json:"backups"`
}

// backupsJSON is how it stands with the backups at a destination.
type backupsJSON struct {
	Destination    string     `json:"destination"`
	LastSuccess    *time.Time `json:"last_success"`
	AgeSeconds     *int64     `json:"age_seconds"`
	BackupID       string     `json:"backup_id,omitempty"`
	ChainLength    int        `json:"chain_length"`
	ChainBytes     int64      `json:"chain_bytes"`
	Backups        int        `json:"backups"`
	StoredBytes    int64      `json:"stored_bytes"`
	Schedules      []string   `json:"schedules"`
	NextRun        *time.Time `json:"next_run"`
	NextIsFull     bool       `json:"next_is_full"`
	NextFullReason string     `json:"next_full_reason,omitempty"`
	Warnings       []string   `json:"warnings"`
}

type serverJSON struct {
	Instance      string   `json:"instance"`
	Address       string   `json:"address"`
	Status        string   `json:"status"`
	Reason        string   `json:"reason,omitempty"`
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
	status, err := o.ask(ctx, admin)
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
	return fault.New(fault.Other, "call the alpha at "+o.remote.alpha+" well", "%s", strings.Join(status.Problems, "; "))
}

func (o *statusOptions) ask(ctx context.Context, admin graphql.Client) (*statusJSON, error) {
	answer, err := adminclient.Health(ctx, admin)
	if err != nil {
		return nil, err
	}
	s := &statusJSON{Problems: []string{}, Backups: []backupsJSON{}}
	for _, server := range answer.Health {
		s.Servers = append(s.Servers, serverJSON{
			Instance: server.Instance, Address: server.Address, Status: server.Status, Reason: orZero(server.Reason), Group: server.Group,
			Version: server.Version, UptimeSeconds: server.Uptime, Ongoing: server.Ongoing,
		})
		if server.Status != "healthy" {
			problem := fmt.Sprintf("%s at %s is not healthy: %s", server.Instance, server.Address, server.Status)
			if server.Reason != nil {
				problem += ": " + *server.Reason
			}
			s.Problems = append(s.Problems, problem)
		}
	}
	backups, err := adminclient.BackupStatus(ctx, admin, orNil(o.destination))
	switch {
	case err == nil:
	case len(s.Problems) > 0: // which are worth telling
		s.Problems = append(s.Problems, err.Error())
		return s, nil
	default:
		return nil, err
	}
	for _, b := range backups.BackupStatus {
		s.Backups = append(s.Backups, newBackupsJSON(b))
		s.Problems = append(s.Problems, o.problems(b)...)
	}
	s.Good = len(s.Problems) == 0
	return s, nil
}

func newBackupsJSON(b adminclient.BackupState) backupsJSON {
	return backupsJSON{
		Destination: b.Destination, LastSuccess: inUTC(b.LastSuccess), AgeSeconds: b.AgeSeconds, BackupID: orZero(b.BackupId),
		ChainLength: b.ChainLength, ChainBytes: b.ChainBytes, Backups: b.Backups, StoredBytes: b.StoredBytes,
		Schedules: b.Schedules, NextRun: inUTC(b.NextRun), NextIsFull: b.NextIsFull, NextFullReason: orZero(b.NextFullReason), Warnings: b.Warnings,
	}
}

// problems are what keeps all from being well at a destination.
func (o *statusOptions) problems(b adminclient.BackupState) (all []string) {
	for _, warning := range b.Warnings {
		all = append(all, b.Destination+": "+warning)
	}
	age := time.Duration(orZero(b.AgeSeconds)) * time.Second
	switch {
	case o.maxAge > 0 && b.LastSuccess == nil:
		all = append(all, b.Destination+": there is no backup")
	case o.maxAge > 0 && age > o.maxAge:
		all = append(all, fmt.Sprintf("%s: the newest backup is %v old, more than %v", b.Destination, age, o.maxAge))
	}
	return all
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
	for _, b := range s.Backups {
		say(&text, "backups at %s: ", b.Destination)
		if b.LastSuccess == nil {
			say(&text, "none\n")
		} else {
			say(&text, "newest of %s, %v old; %d in its series, %d in all, %s\n", moments(b.LastSuccess),
				time.Duration(orZero(b.AgeSeconds))*time.Second, b.ChainLength, b.Backups, byteCount(b.StoredBytes))
		}
		if b.NextRun != nil {
			say(&text, "  next: %s (%s)\n", moments(b.NextRun), strings.Join(b.Schedules, ", "))
		}
		if b.NextIsFull && b.NextFullReason != "" {
			say(&text, "  the next is full: %s\n", b.NextFullReason)
		}
	}
	for _, problem := range s.Problems {
		say(&text, "NOT WELL: %s\n", problem)
	}
	return text.String()
}
