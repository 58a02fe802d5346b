package systest

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/brockdb/brock/graph/caller"
	"github.com/brockdb/brock/graph/client"
	"github.com/brockdb/brock/graph/login"
)

// soakPassword is that of the user whom the soak logs in as.
const soakPassword = "soak-hunter2-geheim"

// soaker is an alpha with TLS, a token and users, and all that is done to it.
type soaker struct {
	*loader
	dir       string
	cert, key string

	mu     sync.Mutex
	access string
}

func newSoaker(t *testing.T) *soaker {
	t.Helper()
	watchSecret(t, soakPassword)
	dir := t.TempDir()
	line, err := login.Line("root", caller.Guardian, []byte(soakPassword), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	users := writeFile(t, filepath.Join(dir, "users"), []byte(line+"\n"))
	cert, key := selfSigned(t, dir)
	// What is kept of ended tasks must be full before the count begins, as must the
	// caches; a small GOGC shows the heap that is in use.
	a := startAlphaWith(t, []string{"GOGC=25"}, client.Options{}, filepath.Join(dir, "p"),
		"--tls_cert", cert, "--tls_key", key, "--users_file", users, "--kept_tasks", "20", "--block_cache_mb", "8",
		"--client_timeout", "2s", "--idle_timeout", "2s")
	s := &soaker{loader: &loader{alpha: a, address: strings.TrimPrefix(a.url, "https://")}, dir: dir, cert: cert, key: key}
	trusting := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // the certificate changes all the time
	s.http = &http.Client{Timeout: time.Minute, Transport: &authorized{s: s, next: &http.Transport{TLSClientConfig: trusting, MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Second}}}
	s.login(t)
	return s
}

// authorized adds the access token of the soaker.
type authorized struct {
	s    *soaker
	next *http.Transport
}

// RoundTrip implements http.RoundTripper.
func (a *authorized) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	a.s.mu.Lock()
	if a.s.access != "" {
		r.Header.Set("X-Dgraph-AccessToken", a.s.access)
	}
	a.s.mu.Unlock()
	return a.next.RoundTrip(r)
}

// CloseIdleConnections lets http.Client do so.
func (a *authorized) CloseIdleConnections() { a.next.CloseIdleConnections() }

func (s *soaker) login(t *testing.T) {
	t.Helper()
	answer := s.admin(t.Context(), "login", `mutation {login(userId: "root", password: "`+soakPassword+`") {response {accessJWT}}}`)
	_, rest, _ := strings.Cut(answer, `"accessJWT":"`)
	token, _, _ := strings.Cut(rest, `"`)
	if token == "" {
		t.Fatalf("login: %s", answer)
	}
	watchSecret(t, token)
	s.mu.Lock()
	s.access = token
	s.mu.Unlock()
}

func (s *soaker) admin(ctx context.Context, name, query string) string {
	return s.post(ctx, name, "/admin", "application/graphql", strings.NewReader(query))
}

// task queues a task and waits for its end. Canceled ones are stopped at once.
func (s *soaker) task(ctx context.Context, name, mutation string, cancel bool) {
	answer := s.admin(ctx, name, mutation)
	_, rest, _ := strings.Cut(answer, `"taskId":"`)
	id, _, ok := strings.Cut(rest, `"`)
	if !ok {
		s.count(name + " refused")
		return
	}
	if cancel {
		s.admin(ctx, "cancel", `mutation {cancelTask(input: {id: "`+id+`"}) {response {code}}}`)
	}
	for ctx.Err() == nil {
		answer := s.admin(ctx, "task", `{task(input: {id: "`+id+`"}) {status}}`)
		for _, end := range []string{"Success", "Failed", "Canceled"} {
			if strings.Contains(answer, `"status":"`+end+`"`) {
				s.count(name + " " + end)
				return
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// rounds calls fn again and again until the time is over, with a pause.
func (s *soaker) rounds(ctx context.Context, group *sync.WaitGroup, pause time.Duration, fn func(n int)) {
	group.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			fn(n)
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
		}
	})
}

// work does all kinds of things for so long.
func (s *soaker) work(t *testing.T, long time.Duration) {
	ctx, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	var group sync.WaitGroup
	backups := filepath.Join(s.dir, "backups")
	s.rounds(ctx, &group, 50*time.Millisecond, func(n int) {
		s.task(ctx, "backup", fmt.Sprintf(`mutation {backup(input: {destination: %q, forceFull: %v}) {taskId}}`, backups, n%4 == 0), n%5 == 3)
		if n%6 == 5 {
			s.task(ctx, "restore", fmt.Sprintf(`mutation {restore(input: {location: %q, include: ["c"], rename: [{from: "c", to: "back"}], overwrite: true}) {taskId}}`, backups), n%12 == 11)
			s.task(ctx, "verify", fmt.Sprintf(`mutation {verifyBackup(input: {location: %q}) {taskId}}`, backups), false)
		}
		if n%9 == 8 {
			s.task(ctx, "prune", fmt.Sprintf(`mutation {pruneBackups(input: {location: %q, keepLast: 2, dryRun: false}) {taskId}}`, backups), false)
		}
	})
	s.rounds(ctx, &group, 100*time.Millisecond, func(n int) {
		s.post(ctx, "load", "/load?collection=c", "text/plain", strings.NewReader(strings.Repeat(fmt.Sprintf(`{"key":"%d","value":"some text"}`+"\n", n%50), 20)))
		s.get(ctx, "dump", "/dump?collection=c")
		s.get(ctx, "metrics", "/metrics")
	})
	s.rounds(ctx, &group, 500*time.Millisecond, func(n int) {
		name := fmt.Sprintf("s%d", n%3)
		s.admin(ctx, "schedule", fmt.Sprintf(`mutation {createSchedule(input: {name: %q, cron: "* * * * *", destination: %q}) {response {code}}}`, name, backups))
		s.admin(ctx, "status", `{backupStatus {destination warnings} schedules {name} tasks {id} listBackups(input: {location: "`+backups+`"}) {path}}`)
		if n%2 == 1 {
			s.admin(ctx, "unschedule", fmt.Sprintf(`mutation {deleteSchedule(name: %q) {response {code}}}`, name))
		}
	})
	s.rounds(ctx, &group, 300*time.Millisecond, func(n int) { // names are remembered: as many as there are
		s.admin(ctx, "wrong login", fmt.Sprintf(`mutation {login(userId: "u%d", password: "wrong") {response {accessJWT}}}`, n))
		s.post(ctx, "malformed", "/graphql", "application/json", strings.NewReader(`{"query":`+strings.Repeat("[", n%2000)))
		s.post(ctx, "malformed", "/load?collection=c", "text/plain", strings.NewReader("no JSON\n"))
		s.post(ctx, "large", "/admin", "application/json", &zeros{4e6})
	})
	for range 4 {
		s.rounds(ctx, &group, 100*time.Millisecond, func(n int) { s.slow(ctx, n) })
	}
	s.rounds(ctx, &group, time.Second, func(int) {
		fresh := filepath.Join(s.dir, "fresh")
		if err := os.MkdirAll(fresh, 0o700); err != nil {
			t.Error(err)
		}
		cert, key := selfSigned(t, fresh)
		for from, to := range map[string]string{key: s.key, cert: s.cert} {
			if err := os.Rename(from, to); err != nil {
				t.Error(err)
			}
		}
	})
	group.Wait()
}

func (s *soaker) get(ctx context.Context, name, path string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path, nil)
	if err != nil {
		panic(err) // the URL is made here
	}
	res, err := s.http.Do(req)
	if err != nil {
		s.count(name + " broken")
		return
	}
	defer res.Body.Close() // only read
	_, _ = io.Copy(io.Discard, res.Body)
	s.count(fmt.Sprintf("%s %d", name, res.StatusCode))
}

// slow begins a handshake, a header or a body, and says no more.
func (s *soaker) slow(ctx context.Context, n int) {
	conn, err := net.DialTimeout("tcp", s.address, time.Second)
	if err != nil {
		return
	}
	defer conn.Close()
	s.count("slow")
	if n%3 > 0 {
		secured := tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // it is about to go away
		if err := secured.HandshakeContext(ctx); err != nil {
			return
		}
		head := "POST /admin HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n"
		if n%3 == 2 {
			head += "\r\n{"
		}
		_, _ = io.WriteString(secured, head) // the alpha may have gone
	}
	select {
	case <-ctx.Done():
	case <-time.After(time.Duration(n%5) * 300 * time.Millisecond):
	}
}

// usage is what a process holds.
type usage struct{ goroutines, files, heap float64 }

// rest waits until nothing is under way and returns the least that is held then.
func (s *soaker) rest(t *testing.T) usage {
	t.Helper()
	goroutines, _ := s.calm(t)
	u := usage{goroutines: goroutines, files: 1e9, heap: 1e12}
	for range 25 {
		for name, least := range map[string]*float64{"go_goroutines": &u.goroutines, "process_open_fds": &u.files, "go_memstats_heap_alloc_bytes": &u.heap} {
			n, err := s.metric(name)
			if err != nil {
				t.Fatal(err)
			}
			*least = min(*least, n)
		}
		time.Sleep(20 * time.Millisecond)
	}
	return u
}

// TestSoak has an alpha do what it does in an hour, in seconds: backups, cancels,
// restores, prunes, schedules, logins that fail, malformed requests, slow clients
// and new certificates. Afterwards it holds what it held before: an hour of it is
// `go test ./systest -run TestSoak -soak 1h -timeout 2h`.
func TestSoak(t *testing.T) {
	s := newSoaker(t)
	s.work(t, min(*soak/3, 30*time.Second)) // what is made once, and kept
	before := s.rest(t)
	s.work(t, *soak)
	after := s.rest(t)
	t.Logf("before %+v, after %+v", before, after)
	s.counts.Range(func(name, n any) bool {
		t.Logf("%6d %v", n.(interface{ Load() int64 }).Load(), name)
		return true
	})
	for _, what := range []string{"backup Success", "restore Success", "prune Success", "verify Success", "load 200", "dump 200", "schedule 200", "slow", "cancel 200"} {
		if s.counted(what) == 0 {
			t.Errorf("there was no %q", what)
		}
	}
	if after.goroutines > before.goroutines+10 || after.files > before.files+15 || after.heap > before.heap+48e6 {
		t.Errorf("it held %+v before, and %+v afterwards", before, after)
	}
	watched.show("the tasks after the soak", s.admin(t.Context(), "end", `{tasks {id status message hint} health {status}}`))
	s.http.CloseIdleConnections()
	s.signal(t, syscall.SIGTERM)
	if code := s.exit(); code != exitGood {
		t.Errorf("it ended with %d", code)
	}
}
