package systest

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/brockdb/brock/graph/client"
)

// TestSecrets uses tokens, credentials and keys rightly and wrongly, and then
// looks for them wherever something can have been left: in answers, logs, task
// records, all files of the database and of the backups.
func TestSecrets(t *testing.T) {
	t.Parallel()
	s := newSecrets(t)
	s.alpha = startAlphaWith(t, []string{"BROCK_AUTH_TOKEN=" + s.token}, client.Options{AuthToken: s.token}, s.data,
		"--encryption_key_file", s.keyFile)
	s.alpha.store(t, model{}, bankRef, putRecord{"k", []byte(`"v"`)})
	credentials := fmt.Sprintf(`accessKey: %q, secretKey: %q, sessionToken: %q`, s.accessKey, s.secretKey, s.sessionToken)
	in := func(fields string) string {
		return "mutation { backup(input: {" + fields + "}) { response { message code } taskId } }"
	}
	token := "X-Dgraph-AuthToken: " + s.token

	answer := s.send(t, in(fmt.Sprintf("destination: %q, ", s.destination)+credentials), token)
	if !strings.Contains(answer, `"code":"Success"`) {
		t.Fatal(answer)
	}
	s.alpha.await(t, s.alpha.tasks(t)[0].ID, task.over)
	s.alpha.backup(t, s.destination, true)
	for _, operation := range []string{
		in(`destination: "minio://127.0.0.1:1/bucket?secure=false", ` + credentials),
		in(`destination: "s3://` + s.accessKey + ":" + s.secretKey + `@host/bucket"`),
		in(`destination: "file:///x?secretKey=` + s.secretKey + `"`),
		in(`destination: "` + s.secretKey + `@relative"`),
		in(`destination: "/dev/null/x", ` + credentials),
		in(`destination: ` + s.secretKey + `, ` + credentials),
		in(`destination: "/x", secretKey: ` + s.secretKey),
		in(`destination: "/x", sessionToken: {a: "` + s.sessionToken + `"}`),
		in(`destination: "/x", forceFull: "` + s.secretKey + `"`),
		in(`destination: "/x", secretKey: "` + s.secretKey),
		in(credentials),
		`{ listBackups(input: {location: "` + s.destination + `", ` + credentials + `}) { backupId keyId } }`,
		`{ listBackups(input: {location: "minio://127.0.0.1:1/bucket?secure=false", ` + credentials + `}) { backupId } }`,
		`{ task(input: {id: "0x2a"}) { id } } ` + s.secretKey,
		`{ tasks { id kind status phase message hint destination backupId path } health { status ongoing } }`,
	} {
		s.send(t, operation, token)
		s.send(t, operation) // without the token
		s.send(t, operation, token+"x")
	}
	for _, body := range []string{
		`{"query": "mutation($s: BackupInput!) { backup(input: $s) { taskId } }", "variables": {"s": {"secretKey": "` + s.secretKey + `"}}}`,
		`{"query": "mutation($s: String!) { backup(input: {destination: $s}) { taskId } }", "variables": {"s": ["` + s.secretKey + `"]}}`,
		`{"query": "{ tasks { id } }", "secretKey": "` + s.secretKey + `", ` + s.secretKey,
		`{"query": "{ tasks { id } }", "operationName": "` + s.secretKey + `"}`,
	} {
		s.keep("an answer", s.alpha.request(t, http.MethodPost, "/admin", body, "Content-Type: application/json", token).body)
	}
	s.keep("an answer", s.alpha.request(t, http.MethodPost, "/admin/"+url.PathEscape(s.secretKey), "", token).body)
	for _, path := range []string{"/", "/health", "/state", "/probe/graphql", "/admin?query=" + url.QueryEscape("{tasks{id}}")} {
		s.keep(path, s.alpha.request(t, http.MethodGet, path, "", token).body)
	}
	s.alpha.stop(t)
	s.keep("the log", s.alpha.stdout.String()+s.alpha.stderr.String())
	s.commands(t)
	for _, dir := range []string{s.destination, s.data} {
		for _, path := range files(t, dir) {
			s.keep(path, string(readFile(t, path)))
		}
	}
	s.look(t)
}

// secrets are what must not be seen, and the places where it could be.
type secrets struct {
	alpha                                     *alpha
	data, destination, keyFile                string
	token, accessKey, secretKey, sessionToken string
	key                                       []byte
	seen                                      map[string]string // by place
}

func newSecrets(t *testing.T) *secrets {
	s := &secrets{
		data: t.TempDir(), destination: t.TempDir(), keyFile: keyFile(t, 32),
		token: "token_J7hQ2xWmZp", accessKey: "AKIA5KQ7XEXAMPLE", secretKey: "wJalrXUtnFEMIbPxRfiCYKEY", sessionToken: "IQoJb3JpZ2luX2VjEJr",
		seen: map[string]string{},
	}
	s.key = readFile(t, s.keyFile)
	for _, secret := range []string{s.token, s.accessKey, s.secretKey, s.sessionToken} {
		watchSecret(t, secret)
	}
	return s
}

func (s *secrets) keep(place, text string) { s.seen[fmt.Sprintf("%s (%d)", place, len(s.seen))] = text }

// send posts an operation to /admin and keeps the answer.
func (s *secrets) send(t *testing.T, operation string, header ...string) string {
	t.Helper()
	header = append(header, "Content-Type: application/graphql")
	answer := s.alpha.request(t, http.MethodPost, "/admin", operation, header...).body
	if answer == "" {
		t.Errorf("there is no answer to %s", operation)
	}
	s.keep("the answer to "+operation, answer)
	return answer
}

// commands runs what reads backups, with the right key and with wrong ones.
func (s *secrets) commands(t *testing.T) {
	t.Helper()
	newline := writeFile(t, s.keyFile+".newline", append(bytes.Clone(s.key), '\n'))
	for _, file := range []string{s.keyFile, newline, keyFile(t, 16)} {
		for _, args := range [][]string{
			{"verify", "-l", s.destination, "--level", "full"},
			{"restore", "-l", s.destination, "-p", t.TempDir(), "--force_zero=false"},
		} {
			r := brock(t, append(args, "--encryption_key_file", file)...)
			s.keep("brock "+args[0], r.stdout+r.stderr)
		}
	}
}

// look searches every place for every secret in every form it may have.
func (s *secrets) look(t *testing.T) {
	t.Helper()
	if len(s.seen) < 60 {
		t.Errorf("there are only %d places to look at", len(s.seen))
	}
	for name, secret := range map[string][]byte{
		"token": []byte(s.token), "access key": []byte(s.accessKey), "secret key": []byte(s.secretKey),
		"session token": []byte(s.sessionToken), "key": s.key, "half of the key": s.key[16:],
	} {
		forms := []string{
			string(secret), hex.EncodeToString(secret), strings.ToUpper(hex.EncodeToString(secret)),
			base64.RawStdEncoding.EncodeToString(secret), base64.RawURLEncoding.EncodeToString(secret),
			url.QueryEscape(string(secret)), fmt.Sprintf("%d", secret),
		}
		for place, text := range s.seen {
			for _, form := range forms {
				if strings.Contains(text, form) {
					t.Errorf("the %s stands in %s:\n%.500q", name, place, text)
				}
			}
		}
	}
}
