package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/graph/client"
	"github.com/brockdb/brock/graph/client/adminclient"
)

// loginOptions are the flags of brock login.
type loginOptions struct {
	remote       remoteFlags
	user         string
	passwordFile string
	logout       bool
	output       choice
}

func newLogin() *cobra.Command {
	o := new(loginOptions)
	cmd := &cobra.Command{
		Use:   "login --user USER",
		Short: "Log in to a running alpha that has users",
		Long: `Logs in and keeps the tokens in a file that only you can read, brock/login.json in
your configuration folder. Every other command uses them for the same --alpha, and
gets new ones when they end, until the refresh token ends too.

The password is asked for on a terminal, and read from standard input otherwise.`,
		Example: `  brock login --user groot --alpha https://10.0.0.7:8080
  brock login --user groot --password_file /run/secrets/brock
  brock login --logout`,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), cmd) },
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.user, "user", "u", "", "`USER` to log in as")
	flags.StringVar(&o.passwordFile, "password_file", "", "`FILE` that holds the password, in place of asking for it")
	flags.BoolVar(&o.logout, "logout", false, "forget the login to this alpha")
	addChoice(cmd, &o.output, "output", "form of the result", "text", "json")
	o.remote.add(cmd)
	completeNothing(cmd, "user")
	return cmd
}

// loginJSON is what a login came to: docs/cli-json.md promises its form.
type loginJSON struct {
	Alpha     string     `json:"alpha"`
	User      string     `json:"user"`
	ExpiresAt *time.Time `json:"expires_at"`
}

func (o *loginOptions) run(ctx context.Context, cmd *cobra.Command) error {
	alpha, err := o.remote.connectAs("")
	if err != nil {
		return err
	}
	defer alpha.Close()
	if o.logout {
		return keepSession(alpha.String(), session{})
	}
	if o.user == "" {
		return fault.New(fault.Usage, "log in", "there is no user").WithHint("give --user")
	}
	password, err := o.password(cmd.InOrStdin(), cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	answer, err := adminclient.Login(ctx, adminclient.New(alpha), o.user, password)
	if err != nil {
		return err
	}
	tokens := answer.Login.Response
	s := session{User: o.user, AccessJWT: orZero(tokens.AccessJWT), RefreshJWT: orZero(tokens.RefreshJWT)}
	if err := keepSession(alpha.String(), s); err != nil {
		return err
	}
	result := loginJSON{Alpha: alpha.String(), User: o.user}
	if at := expires(s.RefreshJWT).UTC(); !at.IsZero() {
		result.ExpiresAt = &at
	}
	if o.output.value == "json" {
		return printJSON(cmd.OutOrStdout(), result)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "logged in to %s as %s\n", result.Alpha, result.User)
	return err
}

// password comes from a file, from a terminal without being shown, or is the
// first line of standard input.
func (o *loginOptions) password(in io.Reader, prompt io.Writer) (string, error) {
	if o.passwordFile != "" {
		text, err := readSecretFile("password_file", o.passwordFile)
		return string(text), err
	}
	text, err := readPassword(in, prompt)
	if err == nil && len(text) == 0 {
		return "", fault.New(fault.Usage, "read password from standard input", "there is none").
			WithHint("give it there, or with --password_file")
	}
	return string(text), err
}

// renewBefore is how long before its end an access token is replaced.
const renewBefore = 30 * time.Second

// keptToken returns the access token of the login to an alpha, or "". One that
// has ended, or will soon, is replaced with the help of the refresh token.
func (r *remoteFlags) keptToken(ctx context.Context, alpha *client.Client) (string, error) {
	logins, err := readLogins()
	if err != nil {
		return "", err
	}
	s, found := logins[alpha.String()]
	if !found {
		return "", nil
	}
	if end := expires(s.AccessJWT); end.IsZero() || time.Until(end) > renewBefore {
		return s.AccessJWT, nil
	}
	answer, err := adminclient.Refresh(ctx, adminclient.New(alpha), s.RefreshJWT)
	if err != nil {
		return "", &fault.Error{Kind: fault.KindOf(err), Op: "go on with the login of " + s.User, Err: err,
			Hint: "log in again: brock login --user " + s.User + " --alpha " + alpha.String()}
	}
	tokens := answer.Login.Response
	s.AccessJWT, s.RefreshJWT = orZero(tokens.AccessJWT), orZero(tokens.RefreshJWT)
	return s.AccessJWT, keepSession(alpha.String(), s)
}
