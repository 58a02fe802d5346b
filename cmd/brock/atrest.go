package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/ee"
	"github.com/brockdb/brock/ee/vault"
)

// atRestFlags are the flags of the key that a database directory is encrypted
// with. It may be the key of the backups, and need not.
type atRestFlags struct {
	file    string
	path    string
	field   string
	format  choice
	version uint
}

func (a *atRestFlags) add(cmd *cobra.Command, what string) {
	flags := cmd.Flags()
	flags.StringVar(&a.file, "at_rest_key_file", "", "`FILE` whose 16, 24 or 32 bytes are the AES key of "+what)
	flags.StringVar(&a.path, "at_rest_vault_path", "", "`PATH` of that key in Vault, instead of a file; reached as the --vault_ flags say")
	flags.StringVar(&a.field, "at_rest_vault_field", vault.DefaultField, "`NAME` of its field")
	addChoice(cmd, &a.format, "at_rest_vault_format", "how it is written there", vault.Base64, vault.Raw)
	flags.UintVar(&a.version, "at_rest_vault_version", 0, "`N`, the version of the secret; 0 means the newest")
	must(cmd.MarkFlagFilename("at_rest_key_file"))
	completeNothing(cmd, "at_rest_vault_path", "at_rest_vault_field", "at_rest_vault_version")
}

// key returns the key, or the zero Key when no flag asks for one.
func (a *atRestFlags) key(ctx context.Context, v *vaultFlags) (ee.Key, error) {
	switch {
	case a.file != "" && a.path != "":
		return ee.Key{}, fault.New(fault.Usage, "use the key of the database directory", "--at_rest_key_file and --at_rest_vault_path are both given")
	case a.file != "":
		return ee.ReadKeyFile(a.file)
	case a.path == "":
		return ee.Key{}, nil
	case v.options.Address == vaultOff || v.options.Address == "" && !vault.InEnvironment():
		return ee.Key{}, fault.New(fault.Usage, "use the key of the database directory", "it is in Vault, and no flag says where that is").
			WithHint("give --vault_addr, or VAULT_ADDR in the environment")
	}
	secret := vault.Secret{Path: a.path, Field: a.field, Format: a.format.value}
	if a.version > 0 {
		secret.Versions = []uint{a.version}
	}
	client, err := vault.Open(ctx, v.options)
	if err != nil {
		return ee.Key{}, err
	}
	defer client.Close()
	ring, err := client.Keys(ctx, secret)
	return ring.First(), err
}
