// Package vault takes encryption keys from HashiCorp Vault: it logs in, stays
// logged in while a process lives, and reads keys from a key/value engine of
// version 1 or 2. No token, role, secret or key is in an error.
package vault

import (
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/brockdb/brock/backup/fault"
)

// Options say where Vault is and how to log in. What is empty is taken from
// Vault's own environment: VAULT_ADDR, VAULT_TOKEN, VAULT_NAMESPACE,
// VAULT_CACERT, VAULT_CLIENT_CERT and so on.
type Options struct {
	Address   string // URL
	Namespace string

	// One way to log in, or VAULT_TOKEN. The files are read again at every
	// login; white space at their ends does not count.
	RoleIDFile          string // AppRole
	SecretIDFile        string // of that role; may be empty when the role needs none
	TokenFile           string
	KubernetesRole      string
	KubernetesTokenFile string // of the service account; "" means where Kubernetes mounts it
	AuthMount           string // where the method is mounted; "" means approle or kubernetes

	CACert     string // file of PEM certificates that are trusted
	ClientCert string // file, PEM
	ClientKey  string // file, PEM
	ServerName string // in the server's certificate, when it is not the address's

	// Timeout bounds how long is waited for a Vault that is sealed or down; 0
	// means a minute.
	Timeout time.Duration

	// Foreign is set for a Vault that somebody else named: it gets nothing of
	// the environment, no token above all.
	Foreign bool

	// Notify, when set, is told what happens while Keep runs, and that one has to
	// wait for Vault.
	Notify func(event string, err error)
}

const defaultTimeout = time.Minute

// KubernetesToken is where Kubernetes puts the token of a service account.
const KubernetesToken = "/var/run/secrets/kubernetes.io/serviceaccount/token"

// InEnvironment reports whether the environment says where a Vault is.
func InEnvironment() bool {
	return os.Getenv(api.EnvVaultAddress) != "" || os.Getenv(api.EnvVaultAgentAddr) != ""
}

// LogsIn reports whether the options say how to log in.
func (o *Options) LogsIn() bool {
	return o.RoleIDFile != "" || o.SecretIDFile != "" || o.TokenFile != "" || o.KubernetesRole != ""
}

func (o *Options) check() error {
	op := "use Vault"
	ways := 0
	for _, way := range []string{o.RoleIDFile, o.TokenFile, o.KubernetesRole} {
		if way != "" {
			ways++
		}
	}
	switch {
	case ways > 1:
		return fault.New(fault.Usage, op, "several ways to log in are given").
			WithHint("give one of a role id file, a token file and a Kubernetes role")
	case o.SecretIDFile != "" && o.RoleIDFile == "":
		return fault.New(fault.Usage, op, "a secret id file is given and no role id file").
			WithHint("give the role's id as well: --vault_roleid_file")
	case (o.ClientCert == "") != (o.ClientKey == ""):
		return fault.New(fault.Usage, op, "of a client certificate and its key only one is given")
	case o.Timeout < 0:
		return fault.New(fault.Usage, op, "the timeout %v is negative", o.Timeout)
	}
	return nil
}

// checkAddress refuses what is no URL of a Vault, with a cause that repeats no
// password.
func checkAddress(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "unix" || u.Scheme != "unix" && u.Host == "":
		return fault.New(fault.Usage, "use the address of Vault", "it is no URL like https://vault.example.com:8200")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return fault.New(fault.Usage, "use the address of Vault", "it has a user, a query or a fragment in it")
	}
	return nil
}

// SameAddress reports whether two addresses are of one Vault.
func SameAddress(a, b string) bool { return normalized(a) != "" && normalized(a) == normalized(b) }

// normalized returns an address in the one form that is compared, or "" for
// none.
func normalized(address string) string {
	if checkAddress(address) != nil {
		return ""
	}
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme + "://" + host + ":" + port + strings.TrimRight(u.Path, "/")
}
