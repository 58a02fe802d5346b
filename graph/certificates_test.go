package graph

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/brockdb/brock/backup/fault"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// issue returns a certificate for localhost and its key, in PEM.
func (a *authority) issue(t *testing.T, serial int64) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &private.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})
}

func writeFile(t *testing.T, name string, text []byte) {
	t.Helper()
	part := name + ".new" // as what renews certificates does it
	if err := os.WriteFile(part, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(part, name); err != nil {
		t.Fatal(err)
	}
}

// TestTLS serves with a certificate that changes, breaks and is mended, then
// with client certificates.
func TestTLS(t *testing.T) {
	ca, dir := newAuthority(t, "servers"), t.TempDir()
	files := TLSFiles{Cert: filepath.Join(dir, "cert"), Key: filepath.Join(dir, "key")}
	renew := func(serial int64) {
		cert, key := ca.issue(t, serial)
		writeFile(t, files.Key, key)
		writeFile(t, files.Cert, cert)
	}
	renew(1)
	server, address := serveAlpha(t, Options{TLS: files})
	clock := time.Now()
	server.certs.mu.Lock()
	server.certs.now = func() time.Time { return clock }
	server.certs.mu.Unlock()
	later := func() {
		server.certs.mu.Lock()
		defer server.certs.mu.Unlock()
		clock = clock.Add(lookEvery)
	}
	if serial, err := serialOf(t, address, ca, nil); err != nil || serial != 1 {
		t.Fatalf("serial %d, %v", serial, err)
	}
	renew(2)
	later()
	if serial, err := serialOf(t, address, ca, nil); err != nil || serial != 2 {
		t.Errorf("renewed: serial %d, %v", serial, err)
	}
	for _, broken := range [][]byte{nil, []byte("no PEM")} {
		writeFile(t, files.Cert, broken)
		later()
		if serial, err := serialOf(t, address, ca, nil); err != nil || serial != 2 {
			t.Errorf("broken: serial %d, %v", serial, err)
		}
	}
	if err := os.Remove(files.Cert); err != nil {
		t.Fatal(err)
	}
	later()
	if serial, err := serialOf(t, address, ca, nil); err != nil || serial != 2 {
		t.Errorf("removed: serial %d, %v", serial, err)
	}
	renew(3)
	later()
	if serial, err := serialOf(t, address, ca, nil); err != nil || serial != 3 {
		t.Errorf("mended: serial %d, %v", serial, err)
	}
	res, err := http.Get("http://" + address + "/health")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusBadRequest {
		t.Errorf("plain HTTP: %d", res.StatusCode)
	}
}

// serialOf asks for /health and returns the serial number of what the server
// showed.
func serialOf(t *testing.T, address string, ca *authority, client []tls.Certificate) (int64, error) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "localhost", Certificates: client}}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport}).Get("https://" + address + "/health")
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("/health: %d", res.StatusCode)
	}
	return res.TLS.PeerCertificates[0].SerialNumber.Int64(), nil
}

func TestMutualTLS(t *testing.T) {
	ca, clients, others, dir := newAuthority(t, "servers"), newAuthority(t, "clients"), newAuthority(t, "others"), t.TempDir()
	files := TLSFiles{Cert: filepath.Join(dir, "cert"), Key: filepath.Join(dir, "key"), ClientCA: filepath.Join(dir, "ca")}
	cert, key := ca.issue(t, 1)
	writeFile(t, files.Cert, cert)
	writeFile(t, files.Key, key)
	writeFile(t, files.ClientCA, clients.pem)
	server, address := serveAlpha(t, Options{TLS: files})
	of := func(a *authority) []tls.Certificate {
		pair, err := tls.X509KeyPair(a.issue(t, 7))
		if err != nil {
			t.Fatal(err)
		}
		return []tls.Certificate{pair}
	}
	known, unknown := of(clients), of(others)
	if _, err := serialOf(t, address, ca, known); err != nil {
		t.Error(err)
	}
	for name, pair := range map[string][]tls.Certificate{"none": nil, "another's": unknown} {
		if _, err := serialOf(t, address, ca, pair); err == nil {
			t.Errorf("a client with %s certificate is served", name)
		}
	}
	// Who may come changes without a restart, and nobody is let in by a session of before.
	writeFile(t, files.ClientCA, others.pem)
	server.certs.mu.Lock()
	server.certs.looked = time.Time{}
	server.certs.mu.Unlock()
	if _, err := serialOf(t, address, ca, unknown); err != nil {
		t.Error(err)
	}
	if _, err := serialOf(t, address, ca, known); err == nil {
		t.Error("a client of the roots of before is served")
	}
}

func TestTLSFilesThatCannotBeUsed(t *testing.T) {
	dir := t.TempDir()
	cert, key := newAuthority(t, "a").issue(t, 1)
	_, other := newAuthority(t, "b").issue(t, 1)
	for name, text := range map[string][]byte{"cert": cert, "key": key, "other": other, "text": []byte("secret text")} {
		writeFile(t, filepath.Join(dir, name), text)
	}
	at := func(name string) string {
		if name == "" {
			return ""
		}
		return filepath.Join(dir, name)
	}
	for _, test := range [][3]string{
		{"cert", "", ""}, {"", "key", ""}, {"", "", "cert"}, {"cert", "missing", ""}, {"missing", "key", ""},
		{"cert", "other", ""}, {"text", "key", ""}, {"cert", "text", ""}, {"cert", "key", "text"}, {"cert", "key", "missing"},
	} {
		_, err := New(Options{TLS: TLSFiles{at(test[0]), at(test[1]), at(test[2])}})
		if !fault.Is(err, fault.Usage) || bytes.Contains([]byte(err.Error()), []byte("secret")) {
			t.Errorf("%v: %v", test, err)
		}
	}
	if _, err := New(Options{TLS: TLSFiles{at("cert"), at("key"), at("cert")}}); err != nil {
		t.Error(errors.Unwrap(err))
	}
}
