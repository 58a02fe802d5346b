package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/ee"
	"github.com/brockdb/brock/ee/vault"
)

func newRekey() *cobra.Command {
	o := new(copyOptions)
	cmd := &cobra.Command{
		Use:   "rekey -l URI -d URI",
		Short: "Copy a series of backups under another key",
		Long: `Copies a series, or all, and encrypts it with another key on the way; one that is not
encrypted gets its first key. Nothing is decompressed, and nothing is written that is
not encrypted with the new key. Like brock copy it checks every byte, stores manifests
last, and goes on where it was cut off.

The old series stays where it is: remove it when the new one has been verified and the
old key is to be worth nothing. A running alpha does not extend the new series; give
the alpha the new key and begin one with force_full.`,
		Example: `  brock rekey -l /backups -d /backups-new --encryption_key_file old --new_encryption_key_file new
  brock rekey -l /backups -d /backups-new --vault_version 3 --new_vault_version 4`,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), cmd, "rekey") },
	}
	o.add(cmd)
	o.newKey.add(cmd)
	return cmd
}

// newKeyFlags say what a series is encrypted with anew. The Vault is that of the
// old key.
type newKeyFlags struct {
	file    string
	path    string
	field   string
	version uint
}

func (n *newKeyFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&n.file, "new_encryption_key_file", "", "`FILE` whose 16, 24 or 32 bytes are the new key")
	flags.StringVar(&n.path, "new_vault_path", "", "`PATH` of the new key's secret in the same Vault; empty means --vault_path")
	flags.StringVar(&n.field, "new_vault_field", "", "`NAME` of its field; empty means --vault_field")
	flags.UintVar(&n.version, "new_vault_version", 0, "`N`, the version of that secret; 0 means the newest")
	must(cmd.MarkFlagFilename("new_encryption_key_file"))
	completeNothing(cmd, "new_vault_path", "new_vault_field", "new_vault_version")
}

// read returns the new key.
func (n *newKeyFlags) read(ctx context.Context, old *vaultFlags) (ee.Key, error) {
	const op = "use the new key"
	inVault := n.path != "" || n.field != "" || n.version != 0
	switch {
	case n.file != "" && inVault:
		return ee.Key{}, fault.New(fault.Usage, op, "--new_encryption_key_file and --new_vault_… name two")
	case n.file != "":
		return ee.ReadKeyFile(n.file)
	case !inVault:
		return ee.Key{}, fault.New(fault.Usage, op, "none is given").
			WithHint("give --new_encryption_key_file, or --new_vault_path, --new_vault_field or --new_vault_version")
	}
	wanted, err := old.wanted(false)
	if err == nil && !wanted {
		err = fault.New(fault.Usage, op, "it is to come from Vault, and no Vault is named").WithHint("give --vault_addr")
	}
	if err != nil {
		return ee.Key{}, err
	}
	secret := old.secret()
	secret.Versions = nil
	if n.version != 0 {
		secret.Versions = []uint{n.version}
	}
	if n.path != "" {
		secret.Path = n.path
	}
	if n.field != "" {
		secret.Field = n.field
	}
	client, err := vault.Open(ctx, old.options)
	if err != nil {
		return ee.Key{}, err
	}
	defer client.Close()
	ring, err := client.Keys(ctx, secret)
	return ring.First(), err
}
