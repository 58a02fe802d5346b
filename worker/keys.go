package worker

import (
	"context"
	"os"
	"slices"
	"time"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/ee"
	"github.com/brockdb/brock/ee/vault"
)

// VaultOptions say what a node may take from Vault for one operation.
type VaultOptions struct {
	Client *vault.Client // the node's own; nil without one
	Secret vault.Secret  // where the node's own key is
	// Allow lists the addresses of other Vaults that a request may name.
	Allow []string
	// Files are those that the node logs in with: they are for its own Vault.
	Files   []string
	Timeout time.Duration // as in vault.Options
}

// KeyRequest says where the keys for one operation come from, as Dgraph's
// restore input does. The zero KeyRequest means the keys of the node itself.
type KeyRequest struct {
	EncryptionKeyFile string

	VaultAddr         string // "" means the node's own Vault
	VaultRoleIDFile   string // with VaultSecretIDFile: instead of the node's login
	VaultSecretIDFile string
	VaultPath         string
	VaultField        string
	VaultFormat       string
}

// usesVault reports whether the request names anything in Vault.
func (q KeyRequest) usesVault() bool {
	q.EncryptionKeyFile = ""
	return q != KeyRequest{}
}

// KeysFor returns the keys that an operation may use: those that the request
// names, else the node's own.
func (n *Node) KeysFor(ctx context.Context, q KeyRequest) (ee.KeyRing, error) {
	if q == (KeyRequest{}) {
		return n.options.Keys, nil
	}
	var ring ee.KeyRing
	if q.EncryptionKeyFile != "" {
		var err error
		if ring, err = ee.ReadKeyFiles(q.EncryptionKeyFile); err != nil {
			return ee.KeyRing{}, err
		}
	}
	if !q.usesVault() {
		return ring, nil
	}
	found, err := n.vaultKeys(ctx, q)
	return ring.Join(found), err
}

// vaultKeys takes keys from the Vault of a request. With its own token the node
// asks only its own Vault.
func (n *Node) vaultKeys(ctx context.Context, q KeyRequest) (ee.KeyRing, error) {
	own := n.options.Vault.Client
	secret := vault.Secret{Path: q.VaultPath, Field: q.VaultField, Format: q.VaultFormat}
	foreign := own == nil || q.VaultAddr != "" && !vault.SameAddress(q.VaultAddr, own.Address())
	if !foreign && q.VaultRoleIDFile == "" && q.VaultSecretIDFile == "" {
		return own.Keys(ctx, n.completed(secret))
	}
	options := vault.Options{Address: q.VaultAddr, RoleIDFile: q.VaultRoleIDFile, SecretIDFile: q.VaultSecretIDFile,
		Foreign: foreign, Timeout: n.options.Vault.Timeout}
	if foreign {
		if err := n.allowVault(q); err != nil {
			return ee.KeyRing{}, err
		}
	} else {
		options.Address = own.Address()
	}
	client, err := vault.Open(ctx, options)
	if err != nil {
		return ee.KeyRing{}, err
	}
	defer client.Close()
	if !foreign {
		secret = n.completed(secret)
	}
	return client.Keys(ctx, secret)
}

// completed fills in what a request leaves out with the node's own.
func (n *Node) completed(s vault.Secret) vault.Secret {
	own := n.options.Vault.Secret
	if s.Path == "" {
		s.Path, s.Versions = own.Path, own.Versions
	}
	if s.Field == "" {
		s.Field = own.Field
	}
	if s.Format == "" {
		s.Format = own.Format
	}
	return s
}

// allowVault refuses a Vault that a request names and the node was not told to
// trust: it would get what the files hold that the request names as well.
func (n *Node) allowVault(q KeyRequest) error {
	const op = "use the Vault that the request names"
	if q.VaultAddr == "" {
		return fault.New(fault.Usage, op, "vaultAddr is empty, and this alpha has no Vault of its own").
			WithHint("name the key's file in encryptionKeyFile, or start the alpha with --vault_addr")
	}
	allowed := slices.ContainsFunc(n.options.Vault.Allow, func(a string) bool { return vault.SameAddress(a, q.VaultAddr) })
	if !allowed {
		return fault.New(fault.Denied, op, "vaultAddr is not this alpha's Vault, and not one that it may use").
			WithHint("leave vaultAddr out, or start the alpha with --vault_allow and that address")
	}
	for _, named := range []string{q.VaultRoleIDFile, q.VaultSecretIDFile} {
		for _, file := range n.options.Vault.Files {
			if sameFile(named, file) {
				return fault.New(fault.Denied, op, "it names a file that this alpha logs in to its own Vault with").
					WithHint("make a role of its own for the other Vault")
			}
		}
	}
	if q.VaultRoleIDFile == "" {
		return fault.New(fault.Usage, op, "vaultRoleIDFile is empty: this alpha's own login is not for another Vault")
	}
	return nil
}

func sameFile(a, b string) bool {
	if a == "" || b == "" {
		return false
	}
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}
