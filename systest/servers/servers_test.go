package servers

import (
	"net"
	"os/exec"
	"strings"
	"testing"
)

func TestServersStartAndStop(t *testing.T) {
	for name, start := range map[string]func(testing.TB) (*Process, string){
		"minio":   func(t testing.TB) (*Process, string) { m := StartMinIO(t, MinIOOptions{}); return m.Process, m.Address },
		"versity": func(t testing.TB) (*Process, string) { v := StartVersity(t); return v.Process, v.Address },
		"gcs":     func(t testing.TB) (*Process, string) { g := StartGCS(t); return g.Process, g.Address },
		"azurite": func(t testing.TB) (*Process, string) { a := StartAzurite(t); return a.Process, a.Address },
		"vault": func(t testing.TB) (*Process, string) {
			v := StartVault(t, VaultOptions{TLS: true})
			if v.UnsealKey == "" {
				t.Errorf("no unseal key in:\n%s", v.Log())
			}
			return v.Process, strings.TrimPrefix(v.Address, "https://")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, address := start(t)
			if host, _, err := net.SplitHostPort(address); err != nil || host != "127.0.0.1" {
				t.Errorf("it listens at %s", address)
			}
			p.Stop()
			if c, err := net.Dial("tcp", address); err == nil {
				_ = c.Close() // nothing was sent
				t.Errorf("something listens at %s after Stop", address)
			}
		})
	}
}

func TestInstalledIsWholeOrNotThere(t *testing.T) {
	t.Setenv("BROCK_TEST_CACHE", t.TempDir())
	fails := func(string) (string, error) { return "", exec.ErrNotFound }
	if _, err := installed("thing", fails); err == nil {
		t.Fatal("a failed installation is no error")
	}
	calls := 0
	makes := func(scratch string) (string, error) { calls++; return scratch, nil }
	for range 2 {
		if _, err := installed("thing", makes); err != nil {
			t.Fatal(err)
		}
	}
	if calls != 1 {
		t.Errorf("it was installed %d times", calls)
	}
}
