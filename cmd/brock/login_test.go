package main

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// newUsers makes a file of users whose passwords are their names, doubled.
func newUsers(t *testing.T) string {
	t.Helper()
	var lines string
	for _, user := range []string{"guardian", "reader"} {
		add := call{stdin: strings.NewReader(user + user + "\n")}.run(t, "user", "add", user, "--role", user, "--cost", "10")
		add.expect(t, exitGood)
		lines += add.stdout
	}
	return write(t, filepath.Join(t.TempDir(), "users"), lines)
}

func TestLogin(t *testing.T) {
	t.Parallel()
	users, home := newUsers(t), t.TempDir()
	a := startAlpha(t, filepath.Join(t.TempDir(), "p"), "--users_file", users)
	me := call{env: []string{"XDG_CONFIG_HOME=" + home, "BROCK_ALPHA=" + a.url}}
	loginAs := func(user, password string) result {
		return call{env: me.env, stdin: strings.NewReader(password + "\n")}.run(t, "login", "--user", user)
	}
	to := filepath.Join(t.TempDir(), "b")

	me.run(t, "tasks").expect(t, exitError, "hint: ")
	loginAs("guardian", "wrong").expect(t, exitError)
	loginAs("guardian", "").expect(t, exitUsage, "there is none")
	me.run(t, "login").expect(t, exitUsage, "--user")
	if r := loginAs("guardian", "guardianguardian"); r.code != exitGood || r.stdout != "logged in to "+a.url+" as guardian\n" {
		t.Fatalf("login: %+v", r)
	}
	file := filepath.Join(home, "brock", "login.json")
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file of tokens: %v, %v", info, err)
	}
	me.run(t, "backup", "-d", to, "--wait").expect(t, exitGood)
	me.run(t, "load", "-c", "c", "-f", write(t, filepath.Join(home, "lines"), records(1, "x"))).expect(t, exitGood)
	if dump := me.run(t, "dump", "-c", "c"); dump.stdout != records(1, "x") {
		t.Errorf("dump: %+v", dump)
	}

	password := write(t, filepath.Join(home, "password"), "readerreader\n")
	me.run(t, "login", "--user", "reader", "--password_file", password).expect(t, exitGood)
	me.run(t, "tasks").expect(t, exitGood)
	me.run(t, "backup", "-d", to).expect(t, exitError)

	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	me.run(t, "tasks").expect(t, exitUsage, "others may read the file", "hint: chmod 600")
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	me.run(t, "login", "--logout").expect(t, exitGood)
	me.run(t, "tasks").expect(t, exitError, "hint: ")
}

// A token that ends soon is replaced; when the refresh token has ended as well,
// the way out is said.
func TestLoginIsRenewed(t *testing.T) {
	t.Parallel()
	users, home := newUsers(t), t.TempDir()
	dir := filepath.Join(t.TempDir(), "p")
	a := startAlpha(t, dir, "--users_file", users, "--access_ttl", "20s")
	me := call{env: []string{"XDG_CONFIG_HOME=" + home}}
	loggedIn := call{env: me.env, stdin: strings.NewReader("readerreader\n")}.run(t, "login", "--user", "reader", "--alpha", a.url, "--output", "json")
	var said loginJSON
	if err := json.Unmarshal([]byte(loggedIn.stdout), &said); err != nil || said.User != "reader" || said.Alpha != a.url || said.ExpiresAt == nil {
		t.Errorf("login says %s, %v", loggedIn.stdout, err)
	}
	file := filepath.Join(home, "brock", "login.json")
	change := func(edit func(*session)) session {
		var logins map[string]session
		if err := json.Unmarshal([]byte(read(t, file)), &logins); err != nil {
			t.Fatal(err)
		}
		s := logins[a.url]
		edit(&s)
		logins[a.url] = s
		text, err := json.Marshal(logins)
		if err != nil {
			t.Fatal(err)
		}
		write(t, file, string(text))
		return s
	}
	ended := "eyJhbGciOiJIUzI1NiJ9." + base64.RawURLEncoding.EncodeToString([]byte(`{"exp":1}`)) + ".c2ln"
	change(func(s *session) { s.AccessJWT = ended })
	me.run(t, "tasks", "--alpha", a.url).expect(t, exitGood)
	if strings.Contains(read(t, file), ended) {
		t.Error("the token was not renewed")
	}
	s := change(func(s *session) { s.RefreshJWT = s.AccessJWT }) // which is good for nothing here
	r := me.run(t, "tasks", "--alpha", a.url)
	r.expect(t, exitError, "cannot go on with the login of reader", "hint: log in again: brock login --user reader")
	if strings.Contains(r.stderr, s.AccessJWT) {
		t.Error("the error shows a token")
	}
	write(t, file, "{")
	me.run(t, "tasks", "--alpha", a.url).expect(t, exitUsage, "it is not what brock login writes")
}
