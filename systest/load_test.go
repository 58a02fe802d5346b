package systest

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/brockdb/brock/graph/client"
)

// soak is how long the alpha is under load; an hour of it is `go test
// ./systest -run TestLoad -soak 1h -timeout 2h`.
var soak = flag.Duration("soak", 12*time.Second, "how long TestLoad and TestSoak load the alpha")

// loader is one alpha and what is done to it.
type loader struct {
	*alpha
	address string
	http    *http.Client
	counts  sync.Map // of what happened, by name: *atomic.Int64
}

func (l *loader) count(what string) {
	n, _ := l.counts.LoadOrStore(what, new(atomic.Int64))
	n.(*atomic.Int64).Add(1)
}

func (l *loader) counted(what string) int64 {
	n, ok := l.counts.Load(what)
	if !ok {
		return 0
	}
	return n.(*atomic.Int64).Load()
}

// post sends a body and counts the status of the answer. Connections that the
// alpha closes because there are too many are no answer, and no error.
func (l *loader) post(ctx context.Context, name, path, contentType string, body io.Reader) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.url+path, body)
	if err != nil {
		panic(err) // the URL is made here
	}
	req.Header.Set("Content-Type", contentType)
	res, err := l.http.Do(req)
	if err != nil {
		l.count(name + " broken")
		return ""
	}
	defer res.Body.Close() // only read
	text, err := io.ReadAll(res.Body)
	if err != nil {
		l.count(name + " broken")
		return ""
	}
	l.count(name + " " + strconv.Itoa(res.StatusCode))
	return string(text)
}

// status of /proc is a number of a process, in its unit.
func (l *loader) status(t *testing.T, field string) int64 {
	t.Helper()
	text := string(readFile(t, fmt.Sprintf("/proc/%d/status", l.cmd.Process.Pid)))
	_, rest, ok := strings.Cut(text, field+":")
	if !ok {
		t.Fatalf("/proc has no %s", field)
	}
	n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (l *loader) files(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", l.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}

// metric asks /metrics for one number.
func (l *loader) metric(name string) (float64, error) {
	res, err := l.http.Get(l.url + "/metrics")
	if err != nil {
		return 0, err
	}
	defer res.Body.Close() // only read
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err
	}
	_, rest, ok := strings.Cut(string(text), "\n"+name+" ")
	if !ok {
		return 0, fmt.Errorf("%d: no metric %s", res.StatusCode, name)
	}
	line, _, _ := strings.Cut(rest, "\n")
	return strconv.ParseFloat(line, 64)
}

// TestLoad has 500 clients query and write while others do what attackers do. The
// alpha serves on, in bounded memory, and has neither goroutines nor files more
// than before when they are gone.
func TestLoad(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Log("without /proc neither memory nor files are counted")
	}
	dir := t.TempDir()
	l := &loader{alpha: startAlphaWith(t, nil, client.Options{}, filepath.Join(dir, "p"),
		"--request_mb", "16", "--requests_mb", "64", "--max_connections", "900", "--client_timeout", "3s", "--idle_timeout", "2s")}
	l.address = strings.TrimPrefix(l.url, "http://")
	transport := &http.Transport{MaxIdleConnsPerHost: 50, IdleConnTimeout: time.Second}
	l.http = &http.Client{Transport: transport, Timeout: time.Minute}
	defer transport.CloseIdleConnections()
	l.post(t.Context(), "seed", "/load?collection=c", "text/plain", strings.NewReader(strings.Repeat(`{"value":{"n":1,"text":"some text"}}`+"\n", 1000)))
	goroutines, files := l.calm(t)

	ctx, cancel := context.WithTimeout(t.Context(), *soak)
	defer cancel()
	var group sync.WaitGroup
	for i := range 500 {
		group.Go(func() { l.client(ctx, i) })
	}
	for i := range 60 {
		group.Go(func() { l.slowLoris(ctx, i) })
	}
	for range 4 {
		group.Go(func() { l.largeBodies(ctx) })
		group.Go(func() { l.oddQueries(ctx) })
		group.Go(func() { l.cutRequests(ctx) })
	}
	peak, worst := l.watch(t, ctx)
	group.Wait()
	// On a busy machine none of these may have come to its end meanwhile.
	l.oddOnes(t.Context())
	l.largeOnes(t.Context())

	t.Logf("peak %d MiB, slowest /health %v", peak>>10, worst)
	l.counts.Range(func(name, n any) bool {
		t.Logf("%6d %s", n.(*atomic.Int64).Load(), name)
		return true
	})
	for name, least := range map[string]int64{
		"query 200": 200, "put 200": 50, "large 413": 1, "deep 200": 1, "wide 200": 1, "malformed 400": 1, "loris": 60, "cut": 50, "health": 1,
	} {
		if n := l.counted(name); n < least {
			t.Errorf("%d of %q, fewer than %d", n, name, least)
		}
	}
	if wrong := l.counted("query wrong") + l.counted("put wrong"); wrong > 0 {
		t.Errorf("%d answers of 200 were wrong", wrong)
	}
	// 64 MiB of bodies and what is parsed of them, the store's caches and memtables; the race detector takes several times that.
	most := int64(1200 << 10) // KiB
	if raceDetector {
		most *= 4
	}
	if peak > most {
		t.Errorf("%d MiB of memory", peak>>10)
	}
	after, filesAfter := l.calm(t)
	if after > goroutines+20 || filesAfter > files+20 {
		t.Errorf("%v goroutines and %d files, %v and %d before", after, filesAfter, goroutines, files)
	}
	l.stop(t)
}

// calm waits until nothing of what went on is left, and counts.
func (l *loader) calm(t *testing.T) (goroutines float64, files int) {
	t.Helper()
	for deadline := time.Now().Add(40 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		connections, err := l.metric("brock_http_connections")
		if err == nil && connections <= 1 {
			break
		}
		l.http.CloseIdleConnections()
		if time.Now().After(deadline) {
			t.Fatalf("%v connections stay open, %v", connections, err)
		}
	}
	if held, err := l.metric("brock_http_body_bytes"); err != nil || held != 0 {
		t.Errorf("%v bytes of bodies stay taken, %v", held, err)
	}
	n, err := l.metric("go_goroutines")
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS == "linux" {
		files = l.files(t)
	}
	return n, files
}

// watch looks at the alpha as a monitor does, which must always get an answer.
func (l *loader) watch(t *testing.T, ctx context.Context) (peakKB int64, worst time.Duration) {
	t.Helper()
	failed := 0
	for ctx.Err() == nil {
		begun := time.Now()
		res, err := (&http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}).Get(l.url + "/health")
		if err == nil {
			err = res.Body.Close()
		}
		if err != nil || res.StatusCode != http.StatusOK {
			if failed++; failed > 20 { // in a row
				t.Errorf("/health does not answer: %v", err)
			}
		} else {
			failed = 0
			l.count("health")
		}
		worst = max(worst, time.Since(begun))
		if runtime.GOOS == "linux" {
			peakKB = max(peakKB, l.status(t, "VmRSS"))
		}
		time.Sleep(50 * time.Millisecond)
	}
	return peakKB, worst
}

// client is one that behaves: it asks and writes, and rests between.
func (l *loader) client(ctx context.Context, i int) {
	for n := 0; ctx.Err() == nil; n++ {
		if n%4 == 3 {
			answer := l.post(ctx, "put", "/graphql", "application/json", strings.NewReader(fmt.Sprintf(
				`{"query":"mutation($r: [PutRecord!]!) {put(input: {collection: \"l\", records: $r}) {commitTs}}","variables":{"r":[{"key":"%d","value":%d}]}}`, i, n)))
			if answer != "" && !strings.Contains(answer, `"commitTs":`) && !strings.Contains(answer, "take all the memory") {
				l.count("put wrong")
			}
		} else {
			answer := l.post(ctx, "query", "/graphql", "application/graphql", strings.NewReader(`{records(collection: "c", first: 5) {records {key value}}}`))
			if answer != "" && !strings.HasPrefix(answer, `{"data":{"records":{"records":[{"key":`) && !strings.Contains(answer, "take all the memory") {
				l.count("query wrong")
			}
		}
		select {
		case <-time.After(time.Duration(rand.IntN(200)) * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// slowLoris sends a request byte by byte: half of them the header, half the body.
func (l *loader) slowLoris(ctx context.Context, i int) {
	head := "POST /graphql HTTP/1.1\r\nHost: " + l.address + "\r\nContent-Type: application/json\r\nContent-Length: 5000000\r\n"
	if i%2 == 0 {
		head += "\r\n"
	}
	for ctx.Err() == nil {
		conn, err := net.Dial("tcp", l.address)
		if err != nil {
			time.Sleep(50 * time.Millisecond)
			continue
		}
		l.count("loris")
		_, err = io.WriteString(conn, head)
		for err == nil && ctx.Err() == nil {
			time.Sleep(100 * time.Millisecond)
			_, err = io.WriteString(conn, "x")
		}
		_ = conn.Close() // the alpha may have
	}
}

// zeros is a body of many blanks.
type zeros struct{ left int64 }

func (z *zeros) Read(p []byte) (int, error) {
	if z.left <= 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), z.left)
	for i := range p[:n] {
		p[i] = ' '
	}
	z.left -= n
	return int(n), nil
}

// largeBodies sends 100 MB, once with its length and once without.
func (l *loader) largeBodies(ctx context.Context) {
	for ctx.Err() == nil {
		l.largeOnes(ctx)
	}
}

func (l *loader) largeOnes(ctx context.Context) {
	for _, path := range []string{"/graphql", "/admin"} {
		l.post(ctx, "large", path, "application/json", &zeros{100e6}) // chunked
		l.post(ctx, "large", path, "application/json", bytes.NewReader(make([]byte, 20e6)))
	}
}

// oddQueries sends queries that are deep, wide or no queries.
func (l *loader) oddQueries(ctx context.Context) {
	for ctx.Err() == nil {
		l.oddOnes(ctx)
	}
}

// oddOnes sends one query of each kind.
func (l *loader) oddOnes(ctx context.Context) {
	deep := strings.Repeat("{a", 10_000) + strings.Repeat("}", 10_000)
	wide := "{" + strings.Repeat(" x:namespaces y:__typename", 20_000) + "}"
	fragments := "{...f0}"
	for i := range 400 {
		fragments += fmt.Sprintf(" fragment f%d on Query {...f%d ...f%d}", i, i+1, i+1)
	}
	l.post(ctx, "deep", "/graphql", "application/graphql", strings.NewReader(deep))
	l.post(ctx, "wide", "/graphql", "application/graphql", strings.NewReader(wide))
	l.post(ctx, "fragments", "/admin", "application/graphql", strings.NewReader(fragments+" fragment f400 on Query {namespaces}"))
	l.post(ctx, "malformed", "/graphql", "application/json", strings.NewReader(strings.Repeat(`{"query":[`, 100_000)))
	l.post(ctx, "malformed", "/admin", "application/json", strings.NewReader(`{"query":"{tasks{id}}","variables":{`))
}

// cutRequests closes its connection after the N-th byte of a good request.
func (l *loader) cutRequests(ctx context.Context) {
	const body = `{"query":"{records(collection: \"c\", first: 100) {records {key value}}}"}`
	request := fmt.Sprintf("POST /graphql HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", l.address, len(body), body)
	for n := 0; ctx.Err() == nil; n = (n + 1) % (len(request) + 1) {
		conn, err := net.Dial("tcp", l.address)
		if errors.Is(err, os.ErrDeadlineExceeded) || err != nil {
			time.Sleep(50 * time.Millisecond)
			continue
		}
		l.count("cut")
		_, _ = io.WriteString(conn, request[:n]) // it may be full
		_ = conn.Close()
		time.Sleep(5 * time.Millisecond)
	}
}
