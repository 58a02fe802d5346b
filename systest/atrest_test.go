package systest

import (
	"bytes"
	"encoding/base64"
	"path/filepath"
	"strings"
	"testing"

	"github.com/brockdb/brock/systest/servers"
)

// TestAtRest: an alpha whose directory is encrypted, killed and started again,
// backed up, and restored into a directory that is encrypted with another key.
func TestAtRest(t *testing.T) {
	t.Parallel()
	const text = "a text that must not be seen on the disk"
	first, second := keyFile(t, 32), keyFile(t, 16)
	data, destination, out := filepath.Join(t.TempDir(), "data"), t.TempDir(), t.TempDir()
	m := model{}
	a := startAlpha(t, data, "--at_rest_key_file", first, "--encryption_key_file", second)
	a.store(t, m, bankRef, putRecord{"k", []byte(`"` + text + `"`)}, putRecord{"big", []byte(`"` + text + strings.Repeat("x", 2<<20) + `"`)})
	a.kill(t)
	a = a.again(t)
	a.backup(t, destination, false)
	a.store(t, m, bankRef, putRecord{"l", []byte(`"` + text + `"`)})
	a.backup(t, destination, false)
	a.stop(t)
	for _, args := range [][]string{{}, {"--at_rest_key_file", second}} {
		brock(t, append([]string{"alpha", "-p", data, "--http", "127.0.0.1:0"}, args...)...).
			expect(t, exitError, "cannot open database directory "+data+": it is encrypted", "hint: give the key", "--at_rest_key_file")
	}
	good(t, "restore", "-p", out, "-l", destination, "--force_zero=false", "--encryption_key_file", second, "--at_rest_key_file", second)
	good(t, "verify", "-l", destination, "--level", "restore", "--encryption_key_file", second, "--at_rest_key_file", first)
	for _, dir := range []string{data, destination, out} {
		for _, path := range files(t, dir) {
			if bytes.Contains(readFile(t, path), []byte(text)) {
				t.Errorf("a record stands in the clear in %s", path)
			}
		}
	}
	v := startVault(t, servers.VaultOptions{})
	v.put(t, "brock-at-rest", "enc_key", base64.StdEncoding.EncodeToString(readFile(t, second)))
	flags := append(v.role(t, "10m", "10m"), "--at_rest_vault_path", "secret/data/brock-at-rest", "--vault_path=")
	restored := startAlpha(t, filepath.Join(out, "p1"), flags...)
	restored.check(t, m, "restored")
	restored.stop(t)
	plain := t.TempDir()
	startAlpha(t, plain).stop(t)
	brock(t, "alpha", "-p", plain, "--http", "127.0.0.1:0", "--at_rest_key_file", first).expect(t, exitError, "it is not encrypted, and a key was given", "hint: ")
}
