package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/brockdb/brock/ee"
)

// keyFlags are the flags that say which keys backups are encrypted with. Without
// any of them there is no key.
type keyFlags struct {
	files      []string
	allowPlain bool
}

// add adds the flags to a command that reads backups.
func (k *keyFlags) add(cmd *cobra.Command) {
	k.addSources(cmd, "`FILE` whose 16, 24 or 32 bytes are the AES key of the backups; several, for series of several keys")
	cmd.Flags().BoolVar(&k.allowPlain, "allow_plain", false,
		"with a key, take backups that are not encrypted as well: trust whoever can write there")
}

// addWriting adds the flags to a command that makes backups.
func (k *keyFlags) addWriting(cmd *cobra.Command) {
	k.addSources(cmd, "`FILE` whose 16, 24 or 32 bytes are the AES key of the backups; of several, the first encrypts")
}

func (k *keyFlags) addSources(cmd *cobra.Command, fileUsage string) {
	cmd.Flags().StringSliceVar(&k.files, "encryption_key_file", nil, fileUsage)
	must(cmd.MarkFlagFilename("encryption_key_file"))
}

// ring returns the keys that the flags name, in their order.
func (k *keyFlags) ring(context.Context) (ee.KeyRing, error) {
	ring, err := ee.ReadKeyFiles(k.files...)
	if err == nil && k.allowPlain {
		ring = ring.OrPlain()
	}
	return ring, err
}
