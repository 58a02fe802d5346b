package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/brockdb/brock/graph/client"
)

func TestAlphaEndsCleanly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "p")
	for i, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		a := startAlpha(t, dir)
		if !strings.HasPrefix(a.url, "http://127.0.0.1:") || strings.HasSuffix(a.url, ":0") {
			t.Errorf("alpha listens on %s", a.url)
		}
		if want := records(i*10, "x"); i > 0 && a.dump(t, "c") != want {
			t.Error("what was acknowledged before the signal is gone")
		}
		a.load(t, "c", records((i+1)*10, "x"))
		a.signal(t, s)
		if code := a.exit(); code != exitGood {
			t.Errorf("%v: exit code %d, log:\n%s", s, code, a.log)
		}
		if !strings.Contains(a.log.String(), "ending: "+s.String()) {
			t.Errorf("%v: the log does not say why:\n%s", s, a.log)
		}
	}
}

// slowLoad begins a load and returns what ends it.
func slowLoad(t *testing.T, a *alpha) (feed *io.PipeWriter, loaded chan error) {
	t.Helper()
	body, feed := io.Pipe()
	loaded = make(chan error, 1)
	go func() {
		_, err := a.Load(t.Context(), "", "c", body)
		loaded <- err
	}()
	if _, err := io.WriteString(feed, records(50_000, "x")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the alpha stores what was sent", func() bool {
		var answer struct{ Record struct{ Key string } }
		err := a.Data(t.Context(), `{ record(collection: "c", key: "k00000") { key } }`, nil, &answer)
		return err == nil && answer.Record.Key != ""
	})
	return feed, loaded
}

// refusesConnections waits until the alpha has closed its port.
func refusesConnections(t *testing.T, a *alpha) {
	t.Helper()
	eventually(t, "the alpha closes its port", func() bool {
		conn, err := net.Dial("tcp", strings.TrimPrefix(a.url, "http://"))
		return err != nil || conn.Close() != nil
	})
}

func TestAlphaAnswersRequestsUnderWay(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "p")
	a := startAlpha(t, dir)
	feed, loaded := slowLoad(t, a)
	a.signal(t, syscall.SIGTERM)
	refusesConnections(t, a)
	if err := feed.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-loaded; err != nil {
		t.Errorf("the load under way failed: %v", err)
	}
	if code := a.exit(); code != exitGood {
		t.Errorf("exit code %d, log:\n%s", code, a.log)
	}
	if got := startAlpha(t, dir).dump(t, "c"); got != records(50_000, "x") {
		t.Error("what was acknowledged while the alpha ended is gone")
	}
}

func TestAlphaCutsOffAfterDrain(t *testing.T) {
	t.Parallel()
	a := startAlpha(t, filepath.Join(t.TempDir(), "p"), "--drain", "50ms")
	feed, loaded := slowLoad(t, a)
	defer feed.Close()
	a.stop(t)
	if err := <-loaded; err == nil {
		t.Error("a load that was never ended succeeded")
	}
	if !strings.Contains(a.log.String(), "cut off") {
		t.Errorf("the log does not say that requests were cut off:\n%s", a.log)
	}
}

func TestSecondSignalExits(t *testing.T) {
	t.Parallel()
	a := startAlpha(t, filepath.Join(t.TempDir(), "p"), "--drain", "1h")
	feed, _ := slowLoad(t, a)
	defer feed.Close()
	a.signal(t, syscall.SIGINT)
	refusesConnections(t, a)
	a.signal(t, syscall.SIGINT)
	if code := a.exit(); code != exitError {
		t.Errorf("the second signal ended the alpha with exit code %d, log:\n%s", code, a.log)
	}
}

func TestAlphaRefuses(t *testing.T) {
	dir := t.TempDir()
	running := startAlpha(t, filepath.Join(dir, "p"))
	foreign := filepath.Join(dir, "foreign")
	mkdir(t, foreign)
	write(t, filepath.Join(foreign, "notes.txt"), "mine")
	for _, c := range []struct {
		args  string
		code  int
		texts []string
	}{
		{"-p p --http 127.0.0.1:0", exitError, []string{"cannot open store p: ", fmt.Sprint(running.cmd.Process.Pid), "hint: "}},
		{"-p foreign --http 127.0.0.1:0", exitUsage, []string{"notes.txt", "hint: "}},
		{"-p q --http " + strings.TrimPrefix(running.url, "http://"), exitError, []string{"cannot serve HTTP at 127.0.0.1:", "address already in use"}},
		{"-p q --http nonsense", exitError, []string{"cannot serve HTTP at nonsense"}},
	} {
		r := call{dir: dir}.run(t, append([]string{"alpha"}, strings.Fields(c.args)...)...)
		r.expect(t, c.code, c.texts...)
		if r.stdout != "" {
			t.Errorf("alpha %s claims %q", c.args, r.stdout)
		}
	}
	expectEntries(t, dir, "foreign", "p")
	expectEntries(t, foreign, "notes.txt")
}

func TestAlphaGroup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	startAlpha(t, filepath.Join(dir, "p"), "--group", "2").stop(t)
	call{dir: dir}.run(t, "alpha", "-p", "p", "--http", "127.0.0.1:0").
		expect(t, exitError, "it belongs to group 2, not to group 1", "hint: start the alpha with --group 2")
	call{env: []string{"BROCK_GROUP=2"}}.startAlpha(t, filepath.Join(dir, "p")).stop(t)
}

func TestAlphaToken(t *testing.T) {
	const token = "s3cret-token"
	a := call{env: []string{"BROCK_AUTH_TOKEN=" + token, "BROCK_WHITELIST=10.0.0.0/8,127.0.0.1"}}.
		startAlpha(t, filepath.Join(t.TempDir(), "p"))
	if err := a.Admin(t.Context(), "{ tasks { id } }", nil, nil); err == nil || !strings.Contains(err.Error(), "X-Dgraph-AuthToken") {
		t.Errorf("without the token: %v", err)
	}
	with, err := client.New(a.url, client.Options{AuthToken: token})
	if err != nil {
		t.Fatal(err)
	}
	if err := with.Admin(t.Context(), "{ tasks { id } }", nil, nil); err != nil {
		t.Errorf("with the token: %v", err)
	}
	if strings.Contains(a.log.String(), token) {
		t.Error("the log shows the token")
	}
}

func TestAlphaHealth(t *testing.T) {
	a := startAlpha(t, filepath.Join(t.TempDir(), "p"))
	res, err := http.Get(a.url + "/health")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK || !strings.Contains(string(body), `"version":"`+testVersion+`"`) {
		t.Errorf("health: %s %s %v", res.Status, body, err)
	}
}

func TestAlphaKeyFile(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		name, key string
		code      int
		texts     []string
	}{
		{"newline", strings.Repeat("k", 32) + "\n", exitUsage, []string{"it ends in a newline after 32 bytes", "hint: "}},
		{"size", "short", exitUsage, []string{"it has 5 bytes; AES needs 16, 24 or 32"}},
		{"none", "", exitError, []string{"no such file"}},
	} {
		file := filepath.Join(dir, c.name)
		if c.key != "" {
			write(t, file, c.key)
		}
		for _, command := range []string{"alpha -p p --http 127.0.0.1:0", "restore -p r -l /b --force_zero=false", "verify -l /b"} {
			args := append(strings.Fields(command), "--encryption_key_file", file)
			r := call{dir: dir}.run(t, args...)
			r.expect(t, c.code, append(c.texts, "encryption key")...)
			if c.key != "" && strings.Contains(r.stderr, strings.TrimSpace(c.key)) {
				t.Errorf("%s shows the key", command)
			}
		}
	}
}
