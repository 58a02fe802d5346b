package worker

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/ee"
	"github.com/brockdb/brock/ee/vault"
)

func writeKey(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestKeysOfRequest: a request has the node's keys, or a file's.
func TestKeysOfRequest(t *testing.T) {
	t.Parallel()
	own, err := ee.NewKey([]byte("0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	n := &Node{options: Options{Keys: ee.NewKeyRing(own)}}
	ring, err := n.KeysFor(t.Context(), KeyRequest{})
	if err != nil || ring.First() != own {
		t.Errorf("the node's keys: %v", err)
	}
	ring, err = n.KeysFor(t.Context(), KeyRequest{EncryptionKeyFile: writeKey(t, "fedcba9876543210")})
	if _, old := ring.Find(own.ID()); err != nil || old || ring.IsZero() {
		t.Errorf("a file's key: %v", err)
	}
	if _, err := n.KeysFor(t.Context(), KeyRequest{EncryptionKeyFile: writeKey(t, "short")}); !fault.Is(err, fault.Usage) {
		t.Errorf("a file without a key: %v", err)
	}
}

// TestForeignVault: a Vault that a request names gets neither the node's login
// nor any file's content, unless the node was told to trust it; and even then
// not the files of the node's own login.
func TestForeignVault(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	foreign := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.Header.Get("X-Vault-Token") != "" {
			t.Errorf("it was given a token")
		}
		http.Error(w, `{"errors": ["no"]}`, http.StatusForbidden)
	}))
	defer foreign.Close()
	ownFile, otherFile := writeKey(t, "own role"), writeKey(t, "other role")
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(ownFile, link); err != nil {
		t.Fatal(err)
	}
	plain := &Node{}
	allowing := &Node{options: Options{Vault: VaultOptions{Allow: []string{foreign.URL}, Files: []string{ownFile}}}}
	for _, c := range []struct {
		n     *Node
		q     KeyRequest
		kind  fault.Kind
		text  string
		asked int64
	}{
		{plain, KeyRequest{VaultAddr: foreign.URL, VaultRoleIDFile: otherFile}, fault.Denied, "not one that it may use", 0},
		{plain, KeyRequest{VaultPath: "secret/data/x"}, fault.Usage, "vaultAddr is empty", 0},
		{allowing, KeyRequest{VaultAddr: "http://127.0.0.1:1", VaultRoleIDFile: otherFile}, fault.Denied, "not one that it may use", 0},
		{allowing, KeyRequest{VaultAddr: foreign.URL}, fault.Usage, "vaultRoleIDFile is empty", 0},
		{allowing, KeyRequest{VaultAddr: foreign.URL, VaultRoleIDFile: ownFile}, fault.Denied, "its own Vault", 0},
		{allowing, KeyRequest{VaultAddr: foreign.URL, VaultRoleIDFile: otherFile, VaultSecretIDFile: link}, fault.Denied, "its own Vault", 0},
		{allowing, KeyRequest{VaultAddr: foreign.URL, VaultRoleIDFile: otherFile}, fault.Denied, "step login", 1},
	} {
		asked.Store(0)
		_, err := c.n.KeysFor(t.Context(), c.q)
		if !fault.Is(err, c.kind) || !strings.Contains(err.Error(), c.text) || asked.Load() != c.asked {
			t.Errorf("%+v: asked %d times: %v", c.q, asked.Load(), err)
		}
		if err != nil && strings.Contains(err.Error()+fault.HintOf(err), " role:") {
			t.Errorf("the error repeats a file: %v", err)
		}
	}
	if vault.SameAddress(foreign.URL, foreign.URL+"/") != true {
		t.Error("an address is not itself")
	}
}
