package servers

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// MinIOOptions say how to start MinIO. The zero value is plain HTTP.
type MinIOOptions struct {
	// CertDir, when set, holds public.crt and private.key: MinIO serves TLS.
	// The certificate must be good for 127.0.0.1.
	CertDir string
	Dir     string   // of the data; "" means one of its own
	Address string   // host:port; "" means a free port
	Env     []string // further settings
}

// MinIO is a running MinIO server.
type MinIO struct {
	*Process
	Address   string // host:port
	AccessKey string // of root
	SecretKey string
	Dir       string // of the data: buckets are its folders
}

// StartMinIO starts MinIO with an empty set of buckets.
func StartMinIO(t testing.TB, o MinIOOptions) *MinIO {
	t.Helper()
	program := must(t, minioPath)
	m := &MinIO{Address: o.Address, AccessKey: "brock-root", SecretKey: "brock-root-secret-key", Dir: o.Dir}
	if m.Address == "" {
		m.Address = freeAddress(t)
	}
	if m.Dir == "" {
		m.Dir = t.TempDir()
	}
	home := t.TempDir()
	env := append([]string{
		"HOME=" + home, "MINIO_ROOT_USER=" + m.AccessKey, "MINIO_ROOT_PASSWORD=" + m.SecretKey,
		"MINIO_BROWSER=off", "MINIO_UPDATE=off", "MINIO_CALLHOME_ENABLE=off",
	}, o.Env...)
	args := []string{"server", m.Dir, "--address", m.Address, "--quiet"}
	client, scheme := plain(), "http"
	if o.CertDir != "" {
		args = append(args, "--certs-dir", o.CertDir)
		client, scheme = trusting(t, filepath.Join(o.CertDir, "public.crt")), "https"
	}
	m.Process = launch(t, env, answers(client, scheme+"://"+m.Address+"/minio/health/ready", http.StatusOK), program, args...)
	return m
}

// Versity is a running versitygw, a second S3 server.
type Versity struct {
	*Process
	Address   string // host:port
	AccessKey string // of root
	SecretKey string
	Dir       string // of the data: buckets are its folders
}

// StartVersity starts versitygw with an empty set of buckets.
func StartVersity(t testing.TB) *Versity {
	t.Helper()
	program := must(t, versityPath)
	v := &Versity{Address: freeAddress(t), AccessKey: "versity-root", SecretKey: "versity-root-secret-key", Dir: t.TempDir()}
	sidecar := t.TempDir() // where the file system has no extended attributes
	env := []string{"ROOT_ACCESS_KEY=" + v.AccessKey, "ROOT_SECRET_KEY=" + v.SecretKey}
	v.Process = launch(t, env, answers(plain(), "http://"+v.Address+"/"), program,
		"--port", v.Address, "--quiet", "posix", "--sidecar", sidecar, v.Dir)
	return v
}

// must returns the path of an installed program.
func must(t testing.TB, path func() (string, error)) string {
	t.Helper()
	p, err := path()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func plain() *http.Client {
	return &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
}

// trusting returns a client that trusts the certificates of a PEM file.
func trusting(t testing.TB, ca string) *http.Client {
	t.Helper()
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		t.Fatalf("%s holds no certificate", ca)
	}
	return &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool},
	}}
}
