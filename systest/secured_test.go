package systest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/brockdb/brock/graph/client"
)

// aclScript is the part of Dgraph's cron jobs that runs with access control: a
// login whose answer is looked through with grep, then the backup with both
// tokens.
const aclScript = `
set -euo pipefail
login() {
  curl -sS --cacert "$CA" -H 'Content-Type: application/graphql' -H "X-Dgraph-AuthToken: $AUTH_TOKEN" "$ALPHA/admin" \
    -d "mutation { login(userId: \"$1\" password: \"$2\") { response { accessJWT } } }"
}
answer=$(login "$USER_NAME" "$PASSWORD")
if grep -q errors <<<"$answer"; then
  grep -oP '(?<="message":")[^"]*' <<<"$answer" >&2
  exit 1
fi
token=$(grep -oP '(?<="accessJWT":")[^"]*' <<<"$answer")
answer=$(curl -sS --cacert "$CA" -H 'Content-Type: application/graphql' -H "X-Dgraph-AuthToken: $AUTH_TOKEN" \
  -H "X-Dgraph-AccessToken: $token" "$ALPHA/admin" \
  -d "mutation { backup(input: {destination: \"$DESTINATION\" forceFull: true}) { response { message code } } }")
if grep -q errors <<<"$answer"; then
  grep -oP '(?<="message":")[^"]*' <<<"$answer" >&2
  exit 1
fi
grep -oP '(?<="message":")[^"]*' <<<"$answer"
`

// selfSigned makes a certificate for 127.0.0.1 and its key.
func selfSigned(t *testing.T, dir string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "alpha"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return writeFile(t, filepath.Join(dir, "cert.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		writeFile(t, filepath.Join(dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}))
}

// addUser makes a line with brock user add.
func addUser(t *testing.T, name, role, password string) []byte {
	t.Helper()
	cmd := exec.Command(program, "user", "add", name, "--role", role, "--cost", "10")
	cmd.Env = environment()
	cmd.Stdin = strings.NewReader(password + "\n")
	line, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(line, []byte(name+":"+role+":$2a$10$")) || bytes.Contains(line, []byte(password)) {
		t.Fatalf("brock user add prints %q", line)
	}
	return line
}

// TestSecuredCronJob runs the job against an alpha with all protections at once:
// HTTPS, a token in a file, users, an audit log that is rotated.
func TestSecuredCronJob(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := selfSigned(t, dir)
	users := writeFile(t, filepath.Join(dir, "users"), append(addUser(t, "groot", "guardian", "s3cret-groot"), addUser(t, "ro", "reader", "s3cret-ro")...))
	token := writeFile(t, filepath.Join(dir, "token"), []byte("s3cret-token\n"))
	log := filepath.Join(dir, "audit.log")
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(readFile(t, cert))
	a := startAlphaWith(t, nil, client.Options{AuthToken: "s3cret-token", TLS: &tls.Config{RootCAs: roots}}, filepath.Join(dir, "p"),
		"--tls_cert", cert, "--tls_key", key, "--users_file", users, "--auth_token_file", token, "--audit_log", log)
	if !strings.HasPrefix(a.url, "https://127.0.0.1:") {
		t.Fatalf("the alpha says it listens on %s", a.url)
	}
	job := func(user, password, token string) (string, error) {
		cmd := exec.Command("bash", "-c", aclScript)
		cmd.Env = append(os.Environ(), "ALPHA="+a.url, "CA="+cert, "USER_NAME="+user, "PASSWORD="+password, "AUTH_TOKEN="+token,
			"DESTINATION="+filepath.Join(dir, "backups"))
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := job("groot", "s3cret-groot", "s3cret-token")
	if err != nil || !strings.HasPrefix(out, "Backup queued with ID 0x") {
		t.Fatalf("the job says %q, %v", out, err)
	}
	for deadline := time.Now().Add(time.Minute); !hasManifest(t, dir); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the backup is not made")
		}
	}
	if err := os.Rename(log, log+".1"); err != nil {
		t.Fatal(err)
	}
	a.signal(t, syscall.SIGHUP)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(log); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the audit log is not opened anew")
		}
	}
	for _, test := range [][4]string{
		{"groot", "wrong", "s3cret-token", "the user or the password is wrong"},
		{"ro", "s3cret-ro", "s3cret-token", "user ro has the role reader"},
		{"groot", "s3cret-groot", "wrong", "X-Dgraph-AuthToken is missing or wrong"},
	} {
		if out, err := job(test[0], test[1], test[2]); err == nil || !strings.Contains(out, test[3]) {
			t.Errorf("a job that must fail says %q, %v", out, err)
		}
	}
	a.Close()
	a.signal(t, syscall.SIGTERM) // stop would look at it with a client that does not know the certificate
	if code := a.exit(); code != exitGood {
		t.Fatalf("the alpha ended with exit code %d", code)
	}
	first, second := readFile(t, log+".1"), readFile(t, log)
	for _, text := range []string{`"action":"login"`, `"user":"groot"`, `"action":"backup"`, `"outcome":"done"`} {
		if !bytes.Contains(first, []byte(text)) {
			t.Errorf("the audit log lacks %s:\n%s", text, first)
		}
	}
	if n := bytes.Count(second, []byte(`"outcome":"refused"`)); n != 2 {
		t.Errorf("%d refusals, not 2, are in the new audit log:\n%s", n, second)
	}
	if all := string(first) + string(second) + a.stderr.String(); strings.Contains(all, "s3cret") {
		t.Errorf("a secret is in a log:\n%s", all)
	}
}

func hasManifest(t *testing.T, dir string) bool {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "backups", "*", "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	return len(found) > 0
}
