package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/graph/caller"
	"github.com/brockdb/brock/graph/login"
)

func newUser() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "user",
		Short: "Make the users that may log in to an alpha",
	}
	cmd.AddCommand(newUserAdd())
	return cmd
}

// userAddOptions are the flags of brock user add.
type userAddOptions struct {
	role choice
	cost int
}

func newUserAdd() *cobra.Command {
	o := new(userAddOptions)
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Make a line for the file of users",
		Long: `Reads a password from standard input, of which a terminal shows nothing, and prints
the line of that user for the file of brock alpha --users_file. An alpha that runs
reads the file again when it changes.`,
		Example: `  brock user add groot --role guardian >> users
  head -c 18 /dev/urandom | base64 | tee password | brock user add cron --role guardian >> users`,
		Args: oneArgument("NAME of the user"),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd, args[0]) },
	}
	addChoice(cmd, &o.role, "role", "what the user may do: queries and dumps, or everything", string(caller.Reader), string(caller.Guardian))
	cmd.Flags().IntVar(&o.cost, "cost", 12, "`N`, the cost of bcrypt: one more takes a login twice as long")
	completeNothing(cmd, "cost")
	return cmd
}

func (o *userAddOptions) run(cmd *cobra.Command, name string) error {
	if err := login.CheckName(name); err != nil {
		return err
	}
	const least, most = 10, 16
	if o.cost < least || o.cost > most {
		return fault.New(fault.Usage, "use flag --cost", "it is %d; it must be from %d to %d", o.cost, least, most)
	}
	password, err := readPassword(cmd.InOrStdin(), cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	line, err := login.Line(name, caller.Role(o.role.value), password, o.cost)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), line)
	return err
}

// readPassword reads one line, from a terminal without showing it.
func readPassword(in io.Reader, prompt io.Writer) ([]byte, error) {
	const op = "read password from standard input"
	if f, ok := in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		say(prompt, "password: ")
		password, err := term.ReadPassword(int(f.Fd()))
		say(prompt, "\n")
		return password, fault.Wrap(err, "%s", op)
	}
	line, err := bufio.NewReader(io.LimitReader(in, 4*login.MaxPasswordBytes)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fault.Wrap(err, "%s", op)
	}
	return []byte(strings.TrimRight(line, "\r\n")), nil
}
