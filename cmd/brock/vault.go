package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/ee"
	"github.com/brockdb/brock/ee/vault"
)

// vaultOff is the address that stands for no Vault, whatever the environment
// says.
const vaultOff = "off"

// vaultFlags are the flags that say where Vault is, how to log in, and where in
// it the key is.
type vaultFlags struct {
	options  vault.Options
	path     string
	field    string
	format   choice
	versions []uint
}

func (v *vaultFlags) add(cmd *cobra.Command) {
	flags, o := cmd.Flags(), &v.options
	flags.StringVar(&o.Address, "vault_addr", "",
		"`URL` of HashiCorp Vault to take the key from; VAULT_ADDR and the rest of Vault's own environment count too; off means not to")
	flags.StringVar(&o.RoleIDFile, "vault_roleid_file", "", "`FILE` with the id of an AppRole to log in to Vault with")
	flags.StringVar(&o.SecretIDFile, "vault_secretid_file", "", "`FILE` with the secret id of that role")
	flags.StringVar(&v.path, "vault_path", vault.DefaultPath, "`PATH` of the secret; with data/ in it for a key/value engine of version 2; empty: take no key of backups from Vault")
	flags.StringVar(&v.field, "vault_field", vault.DefaultField, "`NAME` of the field of the secret that holds the key")
	addChoice(cmd, &v.format, "vault_format", "how the key is written there", vault.Base64, vault.Raw)
	flags.UintSliceVar(&v.versions, "vault_version", nil, "`N`, the version of the secret, in an engine of version 2; several, for series of several keys")
	flags.StringVar(&o.TokenFile, "vault_token_file", "", "`FILE` with a token of Vault, instead of a role")
	flags.StringVar(&o.KubernetesRole, "vault_kubernetes_role", "", "`ROLE` to log in to Vault as, with the token of the pod's service account")
	flags.StringVar(&o.KubernetesTokenFile, "vault_kubernetes_token_file", "", "`FILE` with that token; empty means where Kubernetes puts it")
	flags.StringVar(&o.AuthMount, "vault_auth_mount", "", "`PATH` where the login method is mounted; empty means approle or kubernetes")
	flags.StringVar(&o.Namespace, "vault_namespace", "", "`NAME` of the namespace in Vault Enterprise")
	flags.StringVar(&o.CACert, "vault_ca_cert", "", "`FILE` of PEM certificates that Vault's is trusted by")
	flags.StringVar(&o.ClientCert, "vault_client_cert", "", "`FILE` of the PEM certificate to show to Vault")
	flags.StringVar(&o.ClientKey, "vault_client_key", "", "`FILE` of that certificate's key")
	flags.StringVar(&o.ServerName, "vault_server_name", "", "`NAME` in Vault's certificate, if it is not that of the address")
	flags.DurationVar(&o.Timeout, "vault_timeout", time.Minute, "`TIME` to wait for a Vault that is sealed or down")
	completeNothing(cmd, "vault_addr", "vault_path", "vault_field", "vault_version", "vault_kubernetes_role", "vault_auth_mount",
		"vault_namespace", "vault_server_name", "vault_timeout")
	for _, name := range []string{"vault_roleid_file", "vault_secretid_file", "vault_token_file", "vault_kubernetes_token_file",
		"vault_ca_cert", "vault_client_cert", "vault_client_key"} {
		must(cmd.MarkFlagFilename(name))
	}
}

// secret says where in Vault the key of backups is.
func (v *vaultFlags) secret() vault.Secret {
	return vault.Secret{Path: v.path, Field: v.field, Format: v.format.value, Versions: v.versions}
}

// given reports whether any flag asks for Vault.
func (v *vaultFlags) given() bool {
	return v.options.Address != "" || v.options.LogsIn() || v.path != vault.DefaultPath || v.field != vault.DefaultField ||
		v.format.value != vault.Base64 || len(v.versions) > 0
}

// wanted reports whether Vault is to be asked. An environment that names one is
// taken seriously, lest backups come out plain, but for a key file that is given
// instead.
func (v *vaultFlags) wanted(files bool) (bool, error) {
	switch {
	case v.options.Address == vaultOff || v.path == "":
		return false, nil
	case v.options.Address != "" || vault.InEnvironment() && (v.given() || !files):
		return true, nil
	case v.given():
		return false, fault.New(fault.Usage, "use Vault", "flags say what to take from it, and not where it is").
			WithHint("give --vault_addr, or VAULT_ADDR in the environment")
	}
	return false, nil
}

// ring logs in, takes the keys and leaves.
func (v *vaultFlags) ring(ctx context.Context) (ee.KeyRing, error) {
	client, err := vault.Open(ctx, v.options)
	if err != nil {
		return ee.KeyRing{}, err
	}
	defer client.Close()
	return client.Keys(ctx, v.secret())
}
