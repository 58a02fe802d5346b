package graph

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/brockdb/brock/worker"
)

// theSecret is one word for the lexer, so that it can stand where a name, a
// number's end or a string stands.
const theSecret = "wJalrXUtnFEMI7bPxRfi"

// TestSecretsAreNotEchoed sends requests that are wrong near a secret in every
// way that came to mind.
func TestSecretsAreNotEchoed(t *testing.T) {
	a := newAlpha(t)
	bare := []string{
		`mutation {backup(input: {destination: "/x", secretKey: SECRET}) {taskId}}`,
		`mutation {backup(input: {destination: "/x", secretKey: 7SECRET}) {taskId}}`,
		`mutation {backup(input: {destination: "/x", secretKey: ["SECRET"]}) {taskId}}`,
		`mutation {backup(input: {destination: "/x", secretKey: {a: "SECRET"}}) {taskId}}`,
		`mutation {backup(input: {destination: "/x", forceFull: "SECRET"}) {taskId}}`,
		`mutation {backup(input: {destination: "/x", forceFull: SECRET}) {taskId}}`,
		`mutation {backup(input: {destination: 1, secretKey: "SECRET"}) {taskId}}`,
		`mutation {backup(input: {secretKey: "SECRET"}) {taskId}}`,
		`mutation {backup(input: "SECRET") {taskId}}`,
		`mutation {backup(input: ["SECRET"]) {taskId}}`,
		`mutation {backup(input: {destination: "", secretKey: "SECRET", secretKey: "SECRET"}) {taskId}}`,
		`mutation {backup(input: {destination: "", secretKey: "SECRET"}) {nothing}}`,
		`mutation {backup(input: {destination: "relative", secretKey: "SECRET", accessKey: "SECRET", sessionToken: "SECRET"}) {taskId}}`,
		`mutation {backup(input: {destination: "https://user:SECRET@host/path"}) {taskId}}`,
		`mutation {backup(input: {destination: "user:SECRET@host/path"}) {taskId}}`,
		`mutation {backup(input: {destination: "s3://bucket/?secret=SECRET"}) {taskId}}`,
		`mutation {backup(input: {destination: "file:///x?secret=SECRET"}) {taskId}}`,
		`mutation {backup(input: {destination: "/x", secretKey "SECRET"}) {taskId}}`,
		`mutation {backup(input: {destination: "/x", secretKey: "ab" SECRET}) {taskId}}`,
		`mutation {backup(input: {destination: "/x", secretKey: ab/SECRET}) {taskId}}`,
		`mutation {backup(input: {destination: "/x", secretKey: "a\qSECRET"}) {taskId}}`,
		`mutation {backup(input: {destination: "/x", secretKey: "a\uZSECRET"}) {taskId}}`,
		"mutation {backup(input: {destination: \"/x\", secretKey: \"SECRET\n\"}) {taskId}}",
		`mutation {backup(input: {destination: "/x", secretKey: "SECRET}) {taskId}}`,
		`mutation {backup(input: {destination: "/x", secretKey: """SECRET""" """SECRET"""}) {taskId}}`,
		`mutation {backup(input: {destination: "/x", secretKey: "SECRET"}) "SECRET"}`,
		`SECRET`,
		`"SECRET"`,
		`mutation M($k: String = {a: "SECRET"}) {backup(input: {destination: "/x", secretKey: $k}) {taskId}}`,
		`mutation M($k: Int = "SECRET") {backup(input: {destination: "/x", secretKey: $k}) {taskId}}`,
		`{listBackups(input: {location: "", secretKey: "SECRET"}) {path}}`,
		`{listBackups(input: {location: "/x", lastNDays: "SECRET"}) {path}}`,
		`{listBackups(input: {location: "/x", sinceDate: "SECRET", secretKey: "SECRET"}) {path}}`,
	}
	for _, query := range bare {
		query = strings.ReplaceAll(query, "SECRET", theSecret)
		a.checkSecretKept(a.query("/admin", query), query)
	}
	const mutation = `mutation M($i: BackupInput!) {backup(input: $i) {taskId}}`
	for _, variables := range []string{
		`{"i": {"destination": "", "secretKey": "SECRET"}}`,
		`{"i": {"destination": "/x", "secretKey": ["SECRET"]}}`,
		`{"i": {"destination": "/x", "secretKey": {"SECRET": "SECRET"}}}`,
		`{"i": {"destination": "/x", "secretKey": 1, "accessKey": "SECRET"}}`,
		`{"i": {"destination": "/x", "secretKey": "\ud800SECRET"}}`,
		`{"i": {"destination": "/x", "forceFull": "SECRET"}}`,
		`{"i": {"destination": "/x", "nothing": "SECRET"}}`,
		`{"i": {"secretKey": "SECRET"}}`,
		`{"i": "SECRET"}`,
		`{"i": ["SECRET"]}`,
		`{"secretKey": "SECRET"}`,
		`"SECRET"`,
	} {
		variables = strings.ReplaceAll(variables, "SECRET", theSecret)
		a.checkSecretKept(a.postJSON("/admin", mutation, variables), variables)
	}
	for _, body := range []string{
		`{"query": SECRET}`, `{"query": "SECRET`, `SECRET`, `{"query": ["SECRET"]}`, `{"variables": {"i": "SECRET"}}`,
		`{"query": "{tasks {id}}", "variables": SECRET}`, `{"query": "{tasks {id}}", "operationName": "SECRET"}`,
	} {
		body = strings.ReplaceAll(body, "SECRET", theSecret)
		a.checkSecretKept(a.do(http.MethodPost, "/admin", strings.NewReader(body), "Content-Type", "application/json"), body)
	}
	a.checkSecretKept(a.do(http.MethodPost, "/admin", strings.NewReader(theSecret), "Content-Type", theSecret), "content type")
}

// checkSecretKept wants an error without the secret, nor half of it.
func (a *alpha) checkSecretKept(got answer, request string) {
	a.Helper()
	if !strings.Contains(got.body, `"errors":[{"message":"cannot `) {
		a.Errorf("%s: is no error: %s", request, got.body)
	}
	if strings.Contains(got.body, theSecret[:8]) || strings.Contains(fmt.Sprint(got.header), theSecret[:8]) {
		a.Errorf("%s: the secret is in the answer: %s", request, got.body)
	}
}

// TestSecretsAreNotStored looks through everything that a node and a backup
// leave on disk.
func TestSecretsAreNotStored(t *testing.T) {
	dir, backups := t.TempDir(), t.TempDir()
	a := startAlpha(t, dir, worker.Options{}, Options{AuthToken: theSecret})
	mutation := fmt.Sprintf(`mutation {backup(input: {destination: "%s", accessKey: "%s", secretKey: "%s", sessionToken: "%s"}) {taskId}}`,
		backups, theSecret, theSecret, theSecret)
	got := a.do(http.MethodPost, "/admin", strings.NewReader(mutation),
		"Content-Type", "application/graphql", "X-Dgraph-AuthToken", theSecret)
	if strings.Contains(got.body, "errors") || strings.Contains(got.body, theSecret) {
		t.Fatal(got.body)
	}
	var tasks answer
	for tasks.body == "" || strings.Contains(tasks.body, `"Running"`) || strings.Contains(tasks.body, `"Queued"`) {
		tasks = a.do(http.MethodPost, "/admin", strings.NewReader(`{tasks {status message hint destination path}}`),
			"Content-Type", "application/graphql", "X-Dgraph-AuthToken", theSecret)
	}
	if !strings.Contains(tasks.body, `"Success"`) || strings.Contains(tasks.body, theSecret) {
		t.Fatal(tasks.body)
	}
	if text := fmt.Sprintf("%+v %#v", a.server.options, a.server.access); strings.Contains(text, theSecret) {
		t.Error("the server keeps the token")
	}
	a.stop()
	controls := 0
	for _, root := range []string{dir, backups} {
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			content, err := os.ReadFile(path)
			if bytes.Contains(content, []byte(backups)) {
				controls++ // of the task's record: what is stored can be found this way
			}
			if bytes.Contains(content, []byte(theSecret)) {
				t.Errorf("the secret is in %s", path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if controls == 0 {
		t.Error("not even the destination is found")
	}
}
