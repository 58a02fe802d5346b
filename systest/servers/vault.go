package servers

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// VaultRootToken is the root token of every Vault that StartVault starts.
const VaultRootToken = "brock-test-root-token"

// VaultOptions say how to start Vault. The zero value is plain HTTP.
type VaultOptions struct {
	TLS     bool
	Address string // host:port; "" means a free one
}

// Vault is a running development server of HashiCorp Vault: unsealed, in
// memory, with a KV version 2 engine at secret/.
type Vault struct {
	*Process
	Address string // http://host:port or https://host:port
	CACert  string // the file of the certificate authority, with TLS
	// UnsealKey unseals it after a test has sealed it; base64.
	UnsealKey string
}

// StartVault starts Vault. All that it held is gone when it is stopped.
func StartVault(t testing.TB, o VaultOptions) *Vault {
	t.Helper()
	program := must(t, vaultPath)
	address := o.Address
	if address == "" {
		address = freePair(t)
	}
	home := t.TempDir()
	args := []string{
		"server", "-dev", "-dev-no-store-token", "-dev-root-token-id=" + VaultRootToken, "-dev-listen-address=" + address,
	}
	v := &Vault{Address: "http://" + address}
	client := func() *http.Client { return plain() }
	if o.TLS {
		dir := filepath.Join(home, "tls")
		if err := os.Mkdir(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		args = append(args, "-dev-tls", "-dev-tls-cert-dir="+dir)
		v.Address, v.CACert = "https://"+address, filepath.Join(dir, "vault-ca.pem")
		client = func() *http.Client { return trusting(t, v.CACert) }
	}
	ready := func() error {
		if v.CACert != "" {
			if _, err := os.Stat(v.CACert); err != nil {
				return err // it is made at the start
			}
		}
		return answers(client(), v.Address+"/v1/sys/health", http.StatusOK)()
	}
	v.Process = launch(t, []string{"HOME=" + home, "VAULT_ADDR=" + v.Address}, ready, program, args...)
	// It is printed when Vault answers already.
	for deadline := time.Now().Add(readyWithin); v.UnsealKey == ""; time.Sleep(10 * time.Millisecond) {
		if v.UnsealKey = field(v.Log(), "Unseal Key: "); time.Now().After(deadline) {
			t.Fatalf("Vault does not print its unseal key:\n%s", v.Log())
		}
	}
	return v
}

// freePair returns an address whose port and the one after it are free: Vault
// listens at both.
func freePair(t testing.TB) string {
	t.Helper()
	for range 100 {
		port := FreePort(t)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+1))
		if err != nil {
			continue
		}
		_ = l.Close() // nobody connected
		return fmt.Sprintf("127.0.0.1:%d", port)
	}
	t.Fatal("no two free ports in a row")
	return ""
}

// field returns what follows name in a line of text.
func field(text, name string) string {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name); ok {
			return value
		}
	}
	return ""
}
