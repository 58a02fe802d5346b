package main

import (
	"github.com/spf13/cobra"

	"github.com/brockdb/brock/backup/destination"
)

// credentialFlags are credentials for one destination, where those of the
// environment are not meant. A command that drives an alpha sends them with its
// request.
type credentialFlags struct {
	accessKey, secretKey, sessionToken string
	anonymous                          bool
}

// add adds the flags, whose names begin with prefix.
func (c *credentialFlags) add(cmd *cobra.Command, prefix, of string) {
	c.addKeys(cmd, prefix, of)
	cmd.Flags().BoolVar(&c.anonymous, prefix+"anonymous", false, "send no credentials to "+of)
}

func (c *credentialFlags) addKeys(cmd *cobra.Command, prefix, of string) {
	flags := cmd.Flags()
	flags.StringVar(&c.accessKey, prefix+"access_key", "", "`KEY` for "+of+" alone, instead of what the environment has")
	flags.StringVar(&c.secretKey, prefix+"secret_key", "", "`SECRET` of that key; better set in the environment than where ps shows it")
	flags.StringVar(&c.sessionToken, prefix+"session_token", "", "`TOKEN` of that key, when it is temporary")
	completeNothing(cmd, prefix+"access_key", prefix+"secret_key", prefix+"session_token")
}

func (c *credentialFlags) credentials() destination.Credentials {
	return destination.Credentials{AccessKey: c.accessKey, SecretKey: c.secretKey, SessionToken: c.sessionToken, Anonymous: c.anonymous}
}
