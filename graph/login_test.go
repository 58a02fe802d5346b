package graph

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/brockdb/brock/graph/audit"
	"github.com/brockdb/brock/graph/caller"
	"github.com/brockdb/brock/graph/login"
	"github.com/brockdb/brock/worker"
)

const (
	grootPassword  = "groots-hunter2"
	readerPassword = "readers-hunter3"
)

// newUsers are groot, a guardian, and ro, a reader.
func newUsers(t *testing.T) *login.Users {
	t.Helper()
	groot, err := login.Line("groot", caller.Guardian, []byte(grootPassword), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	ro, err := login.Line("ro", caller.Reader, []byte(readerPassword), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "users")
	writeFile(t, file, []byte(groot+"\n"+ro+"\n"))
	users, err := login.Open(login.Options{UsersFile: file})
	if err != nil {
		t.Fatal(err)
	}
	return users
}

// login returns the tokens of a user as scripts find them: between quotes, after
// a name without a blank.
func (a *alpha) login(user, password string, header ...string) (access, refresh string) {
	a.Helper()
	got := a.do(http.MethodPost, "/admin", strings.NewReader(
		`mutation { login(userId: "`+user+`" password: "`+password+`") { response { accessJWT refreshJWT } } }`),
		append([]string{"Content-Type", "application/graphql"}, header...)...)
	cut := func(name string) string {
		_, rest, _ := strings.Cut(got.body, `"`+name+`":"`)
		token, _, _ := strings.Cut(rest, `"`)
		return token
	}
	if got.status != http.StatusOK || strings.Contains(got.body, "errors") || strings.Count(cut("accessJWT"), ".") != 2 {
		a.Fatalf("login of %s: %d %s", user, got.status, got.body)
	}
	return cut("accessJWT"), cut("refreshJWT")
}

func TestRoles(t *testing.T) {
	a := startAlpha(t, t.TempDir(), worker.Options{}, Options{Users: newUsers(t)})
	groot, refresh := a.login("groot", grootPassword)
	ro, _ := a.login("ro", readerPassword)
	const backup = `mutation {backup(input: {destination: ""}) {taskId}}` // refused by its destination, if it comes so far
	const put = `mutation {put(input: {collection: "c", records: [{key: "k", value: 1}]}) {commitTs}}`
	tests := []struct {
		name, method, path, body string
		anonymous, reader        int // status
		guardian                 int
	}{
		{"admin query", "POST", "/admin", `{tasks{id}}`, 401, 200, 200},
		{"admin GET", "GET", "/admin?query={tasks{id}}", "", 401, 200, 200},
		{"admin mutation", "POST", "/admin", backup, 401, 403, 200},
		{"admin introspection", "POST", "/admin", `{__schema{types{name}}}`, 401, 200, 200},
		{"admin typename", "POST", "/admin", `mutation {__typename}`, 401, 403, 200},
		{"hidden beside a login", "POST", "/admin", `mutation {login(userId: "a", password: "b") {response {accessJWT}} backup(input: {destination: ""}) {taskId}}`, 401, 403, 200},
		{"in a fragment", "POST", "/admin", `mutation {...f} fragment f on Mutation {x: backup(input: {destination: ""}) {taskId}}`, 401, 403, 200},
		{"two logins", "POST", "/admin", `mutation {a: login(userId: "a", password: "b") {response {accessJWT}} b: login(userId: "a", password: "c") {response {accessJWT}}}`, 400, 400, 400},
		{"data query", "POST", "/graphql", `{namespaces}`, 401, 200, 200},
		{"data mutation", "POST", "/graphql", put, 401, 403, 200},
		{"load", "POST", "/load?collection=c", `{"value":1}`, 401, 403, 200},
		{"dump", "GET", "/dump?collection=c", "", 401, 200, 200},
		{"state", "GET", "/state", "", 401, 200, 200},
		{"health", "GET", "/health", "", 200, 200, 200},
	}
	a.node.Status()
	if got := a.do("POST", "/load?collection=c", strings.NewReader(`{"value":0}`), accessHeader, groot); got.status != 200 {
		t.Fatalf("load: %d %s", got.status, got.body)
	}
	for _, test := range tests {
		for token, want := range map[string]int{"": test.anonymous, ro: test.reader, groot: test.guardian} {
			got := a.do(test.method, test.path, strings.NewReader(test.body), "Content-Type", "application/graphql", accessHeader, token)
			if got.status != want {
				t.Errorf("%s with token %.5q: %d, not %d: %s", test.name, token, got.status, want, clip(got.body))
			}
		}
		if test.name == "health" {
			continue
		}
		for name, token := range map[string]string{"refresh token": refresh, "changed": groot[:len(groot)-2] + "xx", "word": "groot"} {
			got := a.do(test.method, test.path, strings.NewReader(test.body), "Content-Type", "application/graphql", accessHeader, token)
			if got.status != http.StatusUnauthorized {
				t.Errorf("%s with %s: %d %s", test.name, name, got.status, clip(got.body))
			}
		}
		got := a.do(test.method, test.path, strings.NewReader(test.body), "Content-Type", "application/graphql", accessHeader, groot, accessHeader, ro)
		if got.status != http.StatusBadRequest {
			t.Errorf("%s with two tokens: %d", test.name, got.status)
		}
	}
	if got := a.query("/admin", `{tasks{id}}`+strings.Repeat(" ", anonymousBytes)); got.status != http.StatusRequestEntityTooLarge {
		t.Errorf("a long request before the login: %d %s", got.status, got.body)
	}
	a.wantError("/admin", `mutation {login(userId: "groot", password: "no") {response {accessJWT}}}`, "", "DENIED", "the user or the password is wrong")
	a.wantError("/admin", `mutation {login(userId: "groot") {response {accessJWT}}}`, "", "USAGE", "userId and password")
	got := a.query("/admin", `mutation {login(refreshToken: "`+refresh+`") {response {accessJWT}}}`)
	if got.status != 200 || !strings.Contains(got.body, `"accessJWT":"`) {
		t.Errorf("refresh: %d %s", got.status, got.body)
	}
}

func TestLoginWithoutUsers(t *testing.T) {
	newAlpha(t).wantError("/admin", `mutation {login(userId: "groot", password: "p") {response {accessJWT}}}`, "", "USAGE", "has no users")
}

func TestTokenIsNotGuessed(t *testing.T) {
	a := startAlpha(t, t.TempDir(), worker.Options{}, Options{AuthToken: "right"})
	ask := func(token string) answer { return a.get("/admin?query={tasks{id}}", tokenHeader, token) }
	for range 50 { // a script without the token guesses nothing
		if got := ask(""); got.status != 401 {
			t.Fatalf("without: %d", got.status)
		}
	}
	slowed := 0
	for range 40 {
		if got := ask("wrong"); got.status == 429 && got.header.Get("Retry-After") != "" {
			slowed++
		}
	}
	if slowed < 20 {
		t.Errorf("%d of 40 guesses were slowed", slowed)
	}
	eventually(t, "the right token is taken again", func() bool { return ask("right").status == 200 })
}

// TestAudit does things that must be written down, with secrets that must not.
func TestAudit(t *testing.T) {
	name := filepath.Join(t.TempDir(), "audit")
	log, err := audit.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	a := startAlpha(t, t.TempDir(), worker.Options{}, Options{Users: newUsers(t), AuthToken: "auth-hunter4", Audit: log})
	token := []string{tokenHeader, "auth-hunter4"}
	groot, refresh := a.login("groot", grootPassword, token...)
	ro, _ := a.login("ro", readerPassword, token...)
	post := func(path, body, access string) {
		a.do("POST", path, strings.NewReader(body), append([]string{"Content-Type", "application/graphql", accessHeader, access}, token...)...)
	}
	dir := t.TempDir()
	post("/admin", `mutation {backup(input: {destination: "`+dir+`", secretKey: "hunter5", forceFull: true}) {taskId}}`, groot)
	post("/admin", `mutation {backup(input: {destination: "s3://id:hunter6@host/b?secret=hunter7"}) {taskId}}`, groot)
	post("/admin", `mutation {backup(input: {destination: "/x"}) {taskId}}`, ro)
	post("/admin", `mutation {login(userId: "groot", password: "hunter8") {response {accessJWT}}}`, "")
	post("/graphql", `mutation {put(input: {collection: "c", records: [{key: "hunter9", value: "hunter10"}]}) {commitTs} dropCollection(input: {collection: "hunter-not"}) {commitTs}}`, groot)
	post("/graphql", `{namespaces}`, groot)
	post("/load?collection=c", `{"key":"hunter11","value":"hunter12"}`, groot)
	post("/load?collection=c", `{"key":"hunter11"}`, groot)
	post("/admin", `{tasks{id}}`, "")
	a.get("/dump?collection=c&prefix=hunter13", accessHeader, groot)
	a.get("/dump?collection=c", "Origin", "http://evil.example")
	a.get("/admin?query={tasks{id}}", tokenHeader, "hunter14")

	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"hunter2", "hunter3", "hunter4", "hunter5", "hunter6", "hunter7", "hunter8", "hunter9", "hunter1", groot, ro, refresh} {
		if bytes.Contains(text, []byte(secret)) {
			t.Errorf("the log holds %.20s:\n%s", secret, text)
		}
	}
	want := []string{
		`127.0.0.1 /admin login map[userId:groot] done`,
		`127.0.0.1 /admin login map[userId:ro] done`,
		`groot 127.0.0.1 /admin backup map[destination:` + dir + ` forceFull:true] done`,
		`groot 127.0.0.1 /admin backup map[destination:s3://host/b] failed USAGE`,
		`ro 127.0.0.1 /admin backup map[destination:/x] refused DENIED`,
		`127.0.0.1 /admin login map[userId:groot] failed DENIED`,
		`groot 127.0.0.1 /graphql put map[collection:c] failed NOT_FOUND`,
		`groot 127.0.0.1 /graphql dropCollection map[collection:hunter-not] failed NOT_FOUND`,
		`groot 127.0.0.1 /load POST map[collection:c] done`,
		`groot 127.0.0.1 /load POST map[collection:c] failed`,
		`127.0.0.1 /admin tasks map[] refused DENIED`,
		`groot 127.0.0.1 /dump GET map[collection:c] done`,
		`127.0.0.1 /dump GET map[] refused DENIED`,
		`127.0.0.1 /admin GET map[] refused DENIED`,
	}
	var got []string
	for line := range bytes.Lines(text) {
		var e audit.Event
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		if e.Time.IsZero() || e.Role == "" && e.User != "" {
			t.Errorf("%s", line)
		}
		got = append(got, strings.TrimSpace(strings.Join([]string{e.User, e.Address, e.Path, e.Action}, " ")+" "+fmt.Sprint(e.Args)+" "+string(e.Outcome)+" "+strings.Join(e.Codes, ",")))
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
