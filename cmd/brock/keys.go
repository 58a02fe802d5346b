package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/brockdb/brock/ee"
	"github.com/brockdb/brock/ee/vault"
)

// keyFlags are the flags that say which keys backups are encrypted with. Without
// any of them there is no key.
type keyFlags struct {
	files      []string
	vault      vaultFlags
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
	k.vault.add(cmd)
}

// ring returns the keys that the flags name: those of files, then those of
// Vault, each in their order.
func (k *keyFlags) ring(ctx context.Context) (ee.KeyRing, error) {
	ring, err := ee.ReadKeyFiles(k.files...)
	if err != nil {
		return ee.KeyRing{}, err
	}
	wanted, err := k.vault.wanted(len(k.files) > 0)
	if err != nil {
		return ee.KeyRing{}, err
	}
	if wanted {
		found, err := k.vault.ring(ctx)
		if err != nil {
			return ee.KeyRing{}, err
		}
		ring = ring.Join(found)
	}
	if k.allowPlain {
		ring = ring.OrPlain()
	}
	return ring, nil
}

// open is ring for a process that lives on: it stays logged in to Vault with
// the client that it returns, which is nil without Vault.
func (k *keyFlags) open(ctx context.Context, notify func(event string, err error)) (ee.KeyRing, *vault.Client, error) {
	ring, err := ee.ReadKeyFiles(k.files...)
	if err != nil {
		return ee.KeyRing{}, nil, err
	}
	wanted, err := k.vault.wanted(len(k.files) > 0)
	if err != nil || !wanted {
		return ring, nil, err
	}
	options := k.vault.options
	options.Notify = notify
	client, err := vault.Open(ctx, options)
	if err != nil {
		return ee.KeyRing{}, nil, err
	}
	found, err := client.Keys(ctx, k.vault.secret())
	if err != nil {
		client.Close()
		return ee.KeyRing{}, nil, err
	}
	return ring.Join(found), client, nil
}
