package systest

import (
	"encoding/base64"
	"path/filepath"
	"slices"
	"testing"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/systest/servers"
)

// TestVaultOfRequest restores into running alphas with keys that the request
// names: of the alpha's own Vault, with the alpha's login and with another, and of
// another Vault, which has to be allowed and gets a login of its own.
func TestVaultOfRequest(t *testing.T) {
	t.Parallel()
	file := keyFile(t, 32)
	key := base64.StdEncoding.EncodeToString(readFile(t, file))
	backups, m := t.TempDir(), model{}
	source := startAlpha(t, t.TempDir(), "--encryption_key_file", file)
	source.store(t, m, bankRef, putRecord{"k", []byte(`"v"`)})
	source.backup(t, backups, true)
	source.stop(t)

	own, other := startVault(t, servers.VaultOptions{}), startVault(t, servers.VaultOptions{})
	own.put(t, "brock", "enc_key", base64.StdEncoding.EncodeToString([]byte("the alpha's own key, not theirs.")))
	own.put(t, "brock-theirs", "key", key)
	other.put(t, "brock", "enc_key", key)
	login := own.role(t, "10m", "10m")
	theirs := other.role(t, "10m", "10m")
	files := ask{"vaultRoleIDFile": theirs[3], "vaultSecretIDFile": theirs[5]}
	started := func(more ...string) *alpha { return startAlpha(t, t.TempDir(), slices.Concat(login, more)...) }

	a := started()
	refused := func(a *alpha, input ask, kind fault.Kind, text string) {
		t.Helper()
		_, err := a.submitRestore(t, backups, input)
		wantRefusal(t, err, kind, text, "")
	}
	refused(a, ask{}, fault.WrongKey, "is needed, the ring has")
	refused(a, ask{"vaultPath": "secret/data/brock-theirs"}, fault.NotFound, "step field")
	refused(a, merged(ask{"vaultAddr": other.Address}, files), fault.Denied, "vaultAddr is not this alpha's Vault")
	refused(a, ask{"vaultPath": "secret/data/elsewhere"}, fault.Denied, "step permission")
	refused(a, ask{"encryptionKeyFile": filepath.Join(t.TempDir(), "none")}, fault.Other, "encryption key file")
	for name, c := range map[string]struct {
		alpha *alpha
		input ask
	}{
		"own Vault":         {a, ask{"vaultPath": "secret/data/brock-theirs", "vaultField": "key", "vaultFormat": "base64"}},
		"own Vault, a role": {started(), merged(ask{"vaultAddr": own.Address + "/", "vaultPath": "secret/data/brock-theirs", "vaultField": "key"}, files)},
		"another Vault":     {started("--vault_allow", other.Address), merged(ask{"vaultAddr": other.Address}, files)},
		"a file":            {started(), ask{"encryptionKeyFile": file}},
	} {
		c.alpha.restoreOnline(t, backups, c.input)
		c.alpha.check(t, m, name)
		c.alpha.stop(t)
	}
	b := started("--vault_allow", other.Address)
	refused(b, ask{"vaultAddr": other.Address}, fault.Usage, "vaultRoleIDFile is empty")
	refused(b, ask{"vaultAddr": other.Address, "vaultRoleIDFile": login[3], "vaultSecretIDFile": login[5]}, fault.Denied, "logs in to its own Vault with")
	b.stop(t)
}

func merged(a, b ask) ask {
	all := ask{}
	for _, fields := range []ask{a, b} {
		for name, value := range fields {
			all[name] = value
		}
	}
	return all
}
