package systest

import (
	"encoding/base64"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/brockdb/brock/graph/client"
	"github.com/brockdb/brock/systest/servers"
)

// testVault is a real Vault, and what its operator does to it.
type testVault struct {
	*servers.Vault
	root *api.Client
}

const (
	vaultRole   = "brock"
	vaultPolicy = `
path "secret/data/brock*" { capabilities = ["read"] }
path "kv1/brock*" { capabilities = ["read"] }`
)

func startVault(t *testing.T, o servers.VaultOptions) *testVault {
	t.Helper()
	v := &testVault{Vault: servers.StartVault(t, o)}
	config := api.DefaultConfig()
	config.Address = v.Address
	if v.CACert != "" {
		if err := config.ConfigureTLS(&api.TLSConfig{CACert: v.CACert}); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if v.root, err = api.NewClient(config); err != nil {
		t.Fatal(err)
	}
	v.root.SetToken(servers.VaultRootToken)
	v.do(t, v.root.Sys().MountWithContext(t.Context(), "kv1", &api.MountInput{Type: "kv", Options: map[string]string{"version": "1"}}))
	v.do(t, v.root.Sys().EnableAuthWithOptionsWithContext(t.Context(), "approle", &api.EnableAuthOptions{Type: "approle"}))
	v.allow(t, vaultPolicy)
	return v
}

func (v *testVault) do(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// allow says what the role may do.
func (v *testVault) allow(t *testing.T, policy string) {
	t.Helper()
	v.do(t, v.root.Sys().PutPolicyWithContext(t.Context(), vaultRole, policy))
}

// write writes to a path of Vault's API.
func (v *testVault) write(t *testing.T, path string, data map[string]any) map[string]any {
	t.Helper()
	secret, err := v.root.Logical().WriteWithContext(t.Context(), path, data)
	v.do(t, err)
	if secret == nil {
		return nil
	}
	return secret.Data
}

// put stores a field of a secret, in an engine of version 2.
func (v *testVault) put(t *testing.T, path, field string, value any) {
	t.Helper()
	v.write(t, "secret/data/"+path, map[string]any{"data": map[string]any{field: value}})
}

// role makes the role whose tokens live so long, and returns flags to log in
// with. The id files end in a newline, as an editor leaves them.
func (v *testVault) role(t *testing.T, ttl, maxTTL string) []string {
	t.Helper()
	const roleID, secretID = "role-9f31c6d2-test", "secret-e27ab1f0-test"
	watchSecret(t, secretID)
	v.write(t, "auth/approle/role/"+vaultRole, map[string]any{"token_policies": vaultRole, "token_ttl": ttl, "token_max_ttl": maxTTL})
	v.write(t, "auth/approle/role/"+vaultRole+"/role-id", map[string]any{"role_id": roleID})
	v.write(t, "auth/approle/role/"+vaultRole+"/custom-secret-id", map[string]any{"secret_id": secretID})
	dir := t.TempDir()
	return []string{"--vault_addr", v.Address,
		"--vault_roleid_file", writeFile(t, filepath.Join(dir, "role"), []byte(roleID+"\n")),
		"--vault_secretid_file", writeFile(t, filepath.Join(dir, "secret"), []byte("  "+secretID+" \n\n"))}
}

// with returns the flags with more of them.
func with(flags []string, more ...string) []string { return slices.Concat(flags, more) }

// encryptedBackup makes a backup with a key and returns where it is.
func encryptedBackup(t *testing.T, keyPath string) (destination string) {
	t.Helper()
	destination = t.TempDir()
	a := startAlpha(t, t.TempDir(), "--encryption_key_file", keyPath, "--vault_addr", "off")
	a.store(t, model{}, bankRef, putRecord{"k", []byte(`"v"`)})
	a.backup(t, destination, true)
	a.stop(t)
	return destination
}

// TestVaultKeys takes one key from everywhere in Vault where it may be.
func TestVaultKeys(t *testing.T) {
	t.Parallel()
	file := keyFile(t, 32)
	key := readFile(t, file)
	watchSecret(t, string(key))
	backups := encryptedBackup(t, file)
	v := startVault(t, servers.VaultOptions{TLS: true})
	padded, bare := base64.StdEncoding.EncodeToString(key), base64.RawStdEncoding.EncodeToString(key)
	v.put(t, "brock", "enc_key", padded)
	v.put(t, "brock-bare", "enc_key", bare)
	v.put(t, "brock-newline", "enc_key", padded+"\n")
	v.put(t, "brock-versions", "enc_key", base64.StdEncoding.EncodeToString([]byte("another key, 32 bytes long, yes.")))
	v.put(t, "brock-versions", "enc_key", bare+"\n")
	v.put(t, "brock-versions", "enc_key", "broken")
	const text = "a key made of 32 text characters"
	textBackups := encryptedBackup(t, writeFile(t, filepath.Join(t.TempDir(), "key"), []byte(text)))
	v.put(t, "brock-raw", "key", text)
	v.write(t, "kv1/brock", map[string]any{"enc_key": padded})
	login := append(v.role(t, "10m", "10m"), "--vault_ca_cert", v.CACert)
	token := writeFile(t, filepath.Join(t.TempDir(), "token"), []byte(servers.VaultRootToken+"\n"))
	for name, c := range map[string]struct {
		from        string
		env, flags  []string
		withoutRole bool
	}{
		"defaults":       {},
		"no padding":     {flags: []string{"--vault_path", "secret/data/brock-bare"}},
		"newline":        {flags: []string{"--vault_path", "/secret/data/brock-newline"}},
		"version":        {flags: []string{"--vault_path", "secret/data/brock-versions", "--vault_version", "2"}},
		"versions":       {flags: []string{"--vault_path", "secret/data/brock-versions", "--vault_version", "1,2"}},
		"raw":            {from: textBackups, flags: []string{"--vault_path", "secret/data/brock-raw", "--vault_field", "key", "--vault_format", "raw"}},
		"engine 1":       {flags: []string{"--vault_path", "kv1/brock"}},
		"environment":    {env: []string{"VAULT_ADDR=" + v.Address, "VAULT_TOKEN=" + servers.VaultRootToken, "VAULT_CACERT=" + v.CACert}, withoutRole: true},
		"token file":     {flags: []string{"--vault_token_file", token, "--vault_addr", v.Address, "--vault_ca_cert", v.CACert}, withoutRole: true},
		"file and Vault": {flags: []string{"--encryption_key_file", keyFile(t, 16)}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.from == "" {
				c.from = backups
			}
			if !c.withoutRole {
				c.flags = with(login, c.flags...)
			}
			p := start(t, c.env, append([]string{"verify", "-l", c.from, "--level", "full"}, c.flags...)...)
			if code := p.exit(); code != exitGood {
				t.Errorf("exit code %d: %s%s", code, p.stdout.String(), p.stderr.String())
			}
		})
	}
	restoreBackup(t, backups, list(t, backups)[0].BackupID, 0, login...)
}

// TestVaultErrors: what is wrong on the way to a key is named by its step.
func TestVaultErrors(t *testing.T) {
	t.Parallel()
	backups := encryptedBackup(t, keyFile(t, 32))
	v := startVault(t, servers.VaultOptions{TLS: true})
	v.put(t, "brock", "enc_key", base64.StdEncoding.EncodeToString(readFile(t, keyFile(t, 32))))
	const short, notBase64 = "a key of 15 byt", "!! this is not base64 !!"
	watchSecret(t, short)
	watchSecret(t, notBase64)
	v.put(t, "brock-short", "enc_key", base64.StdEncoding.EncodeToString([]byte(short)))
	v.put(t, "brock-format", "enc_key", notBase64)
	v.put(t, "brock-number", "enc_key", 17)
	v.write(t, "kv1/brock", map[string]any{"enc_key": "x"})
	v.put(t, "brock-deleted", "enc_key", "x")
	v.write(t, "secret/delete/brock-deleted", map[string]any{"versions": []int{1}})
	trusted := []string{"--vault_ca_cert", v.CACert, "--vault_timeout", "1s"}
	login := v.role(t, "10m", "10m")
	good := with(login, trusted...)
	wrongSecret := writeFile(t, filepath.Join(t.TempDir(), "secret"), []byte("wrong"))
	for name, c := range map[string]struct {
		flags []string
		step  string
	}{
		"nobody there":      {with(good[2:], "--vault_addr", "https://127.0.0.1:"+fmt.Sprint(servers.FreePort(t))), "address"},
		"no URL":            {with(good[2:], "--vault_addr", "vault:8200"), "address"},
		"password in URL":   {with(good[2:], "--vault_addr", "https://user:secret-e27ab1f0-test@127.0.0.1"), "address"},
		"not trusted":       {login, "TLS"},
		"no TLS":            {with(good[2:], "--vault_addr", "http"+strings.TrimPrefix(v.Address, "https")), "TLS"},
		"other server name": {with(good, "--vault_server_name", "vault.example.com"), "TLS"},
		"no CA file":        {with(login, "--vault_ca_cert", "/nosuch"), "TLS"},
		"wrong secret id":   {with(good, "--vault_secretid_file", wrongSecret), "login"},
		"no secret id":      {with(good, "--vault_secretid_file", "/nosuch"), "login"},
		"no login":          {with(trusted, "--vault_addr", v.Address), "login"},
		"wrong mount":       {with(good, "--vault_auth_mount", "nosuch"), "login"},
		"wrong token":       {with(trusted, "--vault_addr", v.Address, "--vault_token_file", wrongSecret), "login"},
		"not allowed":       {with(good, "--vault_path", "secret/data/other"), "permission"},
		"no data in path":   {with(good, "--vault_path", "secret/brock"), "permission"},
		"no such secret":    {with(good, "--vault_path", "secret/data/brock-nosuch"), "path"},
		"no such version":   {with(good, "--vault_version", "7"), "path"},
		"deleted":           {with(good, "--vault_path", "secret/data/brock-deleted"), "path"},
		"version of 1":      {with(good, "--vault_path", "kv1/brock", "--vault_version", "1"), "path"},
		"wrong field":       {with(good, "--vault_field", "nosuch"), "field"},
		"number":            {with(good, "--vault_path", "secret/data/brock-number"), "field"},
		"no base64":         {with(good, "--vault_path", "secret/data/brock-format"), "format"},
		"15 bytes":          {with(good, "--vault_path", "secret/data/brock-short"), "size"},
		"raw base64":        {with(good, "--vault_format", "raw"), "size"},
	} {
		t.Run(name, func(t *testing.T) {
			r := brock(t, append([]string{"verify", "-l", backups}, c.flags...)...)
			if r.code != exitError && r.code != exitUsage || !strings.Contains(r.stderr, "cannot take a key from Vault") || !strings.Contains(r.stderr, "step "+c.step+": ") {
				t.Errorf("exit code %d, want step %s:\n%s", r.code, c.step, r.stderr)
			}
		})
	}
	v.allow(t, `path "secret/data/nothing" { capabilities = ["read"] }`)
	brock(t, append([]string{"verify", "-l", backups}, good...)...).expect(t, exitError, "step permission: ", "hint: give the token a policy")
	v.allow(t, vaultPolicy)

	v.do(t, v.root.Sys().SealWithContext(t.Context()))
	brock(t, append([]string{"verify", "-l", backups}, good...)...).expect(t, exitError, "step seal: ", "hint: unseal Vault")
	waiting := start(t, nil, append([]string{"verify", "-l", backups}, with(good, "--vault_timeout", "1m")...)...)
	_, err := v.root.Sys().UnsealWithContext(t.Context(), v.UnsealKey)
	v.do(t, err)
	if code := waiting.exit(); code != exitGood {
		t.Errorf("a command that waited until Vault was unsealed: exit code %d: %s", code, waiting.stderr.String())
	}
}

// TestVaultLogin: tokens of some seconds are renewed, and got anew, while an
// alpha takes backups; and Vault may be gone for a while.
func TestVaultLogin(t *testing.T) {
	t.Parallel()
	key := base64.StdEncoding.EncodeToString(readFile(t, keyFile(t, 32)))
	v := startVault(t, servers.VaultOptions{})
	v.put(t, "brock", "enc_key", key)
	login := v.role(t, "3s", "6s")
	a := startAlphaWith(t, nil, client.Options{}, t.TempDir(), login...)
	m, destination := model{}, t.TempDir()
	// Each of the backups is taken while tokens come and go.
	busy := func(what, logged string) {
		t.Helper()
		before := strings.Count(a.stderr.String(), logged)
		for deadline := time.Now().Add(time.Minute); strings.Count(a.stderr.String(), logged) == before; {
			if time.Now().After(deadline) {
				t.Fatalf("%s did not happen", what)
			}
			a.store(t, m, bankRef, putRecord{"k", fmt.Appendf(nil, "%d", time.Now().UnixNano())})
			if made := a.backup(t, destination, false); !manifestOf(t, destination, made).Encrypted {
				t.Fatal("a backup is not encrypted")
			}
		}
	}
	busy("renewal", "Vault: the token was renewed")
	busy("a new login", "Vault: logged in again")
	v.Stop()
	busy("noticing that Vault is gone", "Vault: cannot log in again")
	v = startVault(t, servers.VaultOptions{Address: strings.TrimPrefix(v.Address, "http://")})
	v.put(t, "brock", "enc_key", key)
	v.role(t, "3s", "6s")
	busy("a login at the new Vault", "Vault: logged in again")
	a.stop(t)
	good(t, append([]string{"verify", "-l", destination, "--level", "restore"}, login...)...)
}
