package servers

import (
	"fmt"
	"net"
	"net/http"
	"testing"
)

// GCS is a running fake-gcs-server.
type GCS struct {
	*Process
	Address string // host:port: the value of STORAGE_EMULATOR_HOST
}

// StartGCS starts fake-gcs-server, whose buckets are in memory. It has none
// at first.
func StartGCS(t testing.TB) *GCS {
	t.Helper()
	program := must(t, gcsPath)
	port := FreePort(t)
	g := &GCS{Address: fmt.Sprintf("127.0.0.1:%d", port)}
	g.Process = launch(t, nil, answers(plain(), "http://"+g.Address+"/_internal/healthcheck", http.StatusOK), program,
		"-scheme", "http", "-host", "127.0.0.1", "-port", fmt.Sprint(port), "-public-host", g.Address,
		"-external-url", "http://"+g.Address, "-backend", "memory", "-log-level", "error")
	return g
}

// The account that Azurite knows, with the key that its documentation has.
const (
	AzuriteAccount = "devstoreaccount1"
	AzuriteKey     = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

// Azurite is a running Azurite, Microsoft's emulator of its blob storage.
type Azurite struct {
	*Process
	Address  string // host:port
	Endpoint string // http://host:port/account
}

// ConnectionString returns the value of AZURE_STORAGE_CONNECTION_STRING.
func (a *Azurite) ConnectionString() string {
	return "DefaultEndpointsProtocol=http;AccountName=" + AzuriteAccount + ";AccountKey=" + AzuriteKey + ";BlobEndpoint=" + a.Endpoint + ";"
}

// StartAzurite starts Azurite without containers. It needs Node.js.
func StartAzurite(t testing.TB) *Azurite {
	t.Helper()
	program := must(t, azuritePath)
	address := freeAddress(t)
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	a := &Azurite{Address: address, Endpoint: "http://" + address + "/" + AzuriteAccount}
	a.Process = launch(t, nil, answers(plain(), a.Endpoint), "node", program,
		"--blobHost", host, "--blobPort", port, "--location", t.TempDir(),
		"--silent", "--disableTelemetry", "--skipApiVersionCheck")
	return a
}
