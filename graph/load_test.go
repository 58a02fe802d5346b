package graph

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/brockdb/brock/graph/budget"
	"github.com/brockdb/brock/worker"
	"github.com/brockdb/brock/worker/store"
)

func (a *alpha) load(collection string, body io.Reader, header ...string) answer {
	a.Helper()
	return a.do(http.MethodPost, "/load?collection="+collection, body, header...)
}

func (a *alpha) dump(collection string) string {
	a.Helper()
	got := a.get("/dump?collection=" + collection)
	if got.status != http.StatusOK {
		a.Fatal(got.body)
	}
	return got.body
}

// numbered returns n lines as /dump writes them.
func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"key":"k%06d","value":{"n":%d,"text":"<é>"}}`+"\n", i, i)
	}
	return b.String()
}

func zipped(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestLoadAndDump(t *testing.T) {
	a := newAlpha(t)
	a.server.batchRecords = smallBatch
	text := numbered(1_001)
	twoMembers := append(zipped(t, text[:len(text)/2]), zipped(t, text[len(text)/2:])...)
	for name, request := range map[string]struct {
		body   []byte
		header []string
	}{
		"plain":               {[]byte(text), nil},
		"identity":            {[]byte(text), []string{"Content-Encoding", "identity"}},
		"gzip_by_header":      {zipped(t, text), []string{"Content-Encoding", "gzip"}},
		"gzip_by_first_bytes": {zipped(t, text), nil},
		"gzip_of_two_members": {twoMembers, nil},
		"without_last_end":    {[]byte(strings.TrimSuffix(text, "\n")), nil},
		"carriage_returns":    {[]byte(strings.ReplaceAll(text, "\n", "\r\n")), nil},
		"blank_lines":         {[]byte("\n \t\n" + strings.ReplaceAll(text, "\n", "\n\r\n\n") + "  "), nil},
	} {
		got := a.load(name, bytes.NewReader(request.body), request.header...)
		var done loaded
		if err := json.Unmarshal([]byte(got.body), &done); err != nil || got.status != http.StatusOK {
			t.Fatalf("%s: %d %s", name, got.status, got.body)
		}
		if done.Records != 1_001 || done.Batches != 3 || done.CommitTs == 0 || done.Bytes != int64(len(text)-1_001) {
			t.Errorf("%s: %s", name, got.body)
		}
		if dumped := a.dump(name); dumped != text {
			t.Errorf("%s: dumped %d bytes, loaded %d", name, len(dumped), len(text))
		}
	}
	if got := a.load("nothing", strings.NewReader("\n\n")); got.body != `{"records":0,"batches":0,"bytes":0,"commitTs":0}` {
		t.Errorf("nothing: %s", got.body)
	}
}

func TestLoadInAnotherOrder(t *testing.T) {
	a := newAlpha(t)
	got := a.do(http.MethodPost, "/load?namespace=geo&collection=c", strings.NewReader(
		`{"value": [1, 2.50, 99999999999999999999 ] , "key":"b\u0061"}`+"\n"+`{"value":null}`+"\n"+`{"key":"ba","value":"\u00e9\/<"}`+"\n"+`{"key":"\u0000\n\"","value":0}`))
	if got.status != http.StatusOK {
		t.Fatal(got.body)
	}
	want := `{"key":"\u0000\n\"","value":0}` + "\n" + `{"key":"0x1","value":null}` + "\n" + `{"key":"ba","value":"\u00e9\/<"}` + "\n"
	if got := a.get("/dump?namespace=geo&collection=c"); got.body != want {
		t.Errorf("%s", got.body)
	}
	if got := a.load("again", strings.NewReader(want)); got.status != 200 || a.dump("again") != want {
		t.Errorf("%s", got.body)
	}
}

// smallBatch is how many records a batch has in tests.
const smallBatch = 500

// TestBadLineAtEveryPosition puts a bad line everywhere in a small body, and
// around the borders of batches in a large one.
func TestBadLineAtEveryPosition(t *testing.T) {
	a := newAlpha(t)
	a.server.batchRecords = smallBatch
	check := func(total, bad int) {
		t.Helper()
		lines := strings.SplitAfter(numbered(total), "\n")[:total]
		body := strings.Join(slices.Insert(slices.Clone(lines), bad, "{\"key\":\"x\"}\n"), "")
		name := fmt.Sprintf("c%d-%d", total, bad)
		got := a.load(name, strings.NewReader(body))
		var failed loadFailure
		if err := json.Unmarshal([]byte(got.body), &failed); err != nil || got.status != http.StatusBadRequest {
			t.Fatalf("%d %s", got.status, got.body)
		}
		if e := failed.Error; e.Line != int64(bad+1) || e.Stored != int64(bad) || e.Reason != "it has no value" || (e.CommitTs == 0) != (bad == 0) {
			t.Errorf("line %d is bad: %s", bad+1, got.body)
		}
		if bad == 0 {
			a.checkError(a.get("/dump?collection="+name), http.StatusNotFound, "NOT_FOUND")
		} else if a.dump(name) != strings.Join(lines[:bad], "") {
			t.Errorf("line %d is bad: what was before it is not what is stored", bad+1)
		}
	}
	for bad := range 6 {
		check(5, bad)
	}
	for _, bad := range []int{smallBatch - 1, smallBatch, smallBatch + 1, 2*smallBatch - 1, 2 * smallBatch, 2*smallBatch + 7} {
		check(2*smallBatch+10, bad)
	}
}

func TestBadLines(t *testing.T) {
	a := startAlpha(t, t.TempDir(), worker.Options{}, Options{LoadLineBytes: 1 << 20})
	for line, reason := range map[string]string{
		`{"key":"a"}`:                      "it has no value",
		`{}`:                               "it has no value",
		`[]`:                               "it is not a JSON object",
		`"x"`:                              "it is not a JSON object",
		`x`:                                "it is not valid JSON at byte 1",
		`{"key":"a","value":}`:             "it is not valid JSON at byte 20",
		`{"key":"a","value":1`:             "it is not valid JSON: it ends too early",
		`{"key":"a","value":1}{"value":2}`: "it is not valid JSON at byte 22",
		`{"key":"a","value":NaN}`:          "it is not valid JSON at byte 20",
		`{"key":1,"value":1}`:              "key: it is not a string",
		`{"key":null,"value":1}`:           "key: it is not a string",
		`{"key":"","value":1}`:             "key: it is empty; leave it out to get a new uid",
		`{"key":"\ud800","value":1}`:       "key: it has half of a surrogate pair (\\uD800 to \\uDFFF), which is no character",
		`{"key":"a","value":1,"ttl":5}`:    `there is a member "ttl"; a record has "key" and "value"`,
		`{"Key":"a","value":1}`:            `there is a member "Key"; a record has "key" and "value"`,
		`{"key":"a","key":"a","value":1}`:  `member "key" stands twice`,
		"{\"key\":\"\xff\",\"value\":1}":   "it is not valid UTF-8",
		`{"key":"` + strings.Repeat("k", 64_001) + `","value":1}`: "key: it has 64001 bytes; the limit is 64000",
		`{"value":"` + strings.Repeat("v", 1<<20) + `"}`:          "it is too long: the limit is 1048576 bytes",
	} {
		got := a.load("c", strings.NewReader("{\"key\":\"good\",\"value\":1}\n\n"+line+"\n{\"key\":\"after\",\"value\":1}\n"))
		var failed loadFailure
		if err := json.Unmarshal([]byte(got.body), &failed); err != nil || got.status != http.StatusBadRequest {
			t.Fatalf("%s: %d %s", clip(line), got.status, got.body)
		}
		if e := failed.Error; e.Line != 3 || e.Stored != 1 || e.Reason != reason {
			t.Errorf("%s: %s", clip(line)[:min(len(line), 60)], got.body)
		}
	}
	if dumped := a.dump("c"); dumped != "{\"key\":\"good\",\"value\":1}\n" {
		t.Errorf("stored is %s", dumped)
	}
}

func TestValueTooLargeForTheStore(t *testing.T) {
	a := newAlpha(t)
	blanks := strings.Repeat(" ", store.MaxValueBytes)
	if got := a.load("c", strings.NewReader(`{"key":"blanks","value":[1,`+blanks+`2]}`)); got.status != 200 || a.dump("c") != `{"key":"blanks","value":[1,2]}`+"\n" {
		t.Errorf("%s", got.body)
	}
	got := a.load("c", strings.NewReader(`{"key":"x","value":1}`+"\n"+`{"key":"large","value":"`+strings.Repeat("x", store.MaxValueBytes)+`"}`))
	if !strings.HasPrefix(got.body, fmt.Sprintf(`{"error":{"line":2,"reason":"value: it has %d bytes; the limit is %d","stored":1,`, store.MaxValueBytes+2, store.MaxValueBytes)) {
		t.Errorf("%s", clip(got.body))
	}
	eight := strings.Repeat("y", 8<<20)
	if got := a.load("e", strings.NewReader(`{"key":"a","value":"`+eight+`"}`)); got.status != 200 || a.dump("e") != `{"key":"a","value":"`+eight+`"}`+"\n" {
		t.Errorf("%s", clip(got.body))
	}
}

func TestRefusedLoads(t *testing.T) {
	a := newAlpha(t)
	for path, text := range map[string]string{
		"/load":                            "it names no collection",
		"/load?collection=":                "it names no collection",
		"/load?collection=a/b":             "the name has one of the characters",
		"/load?collection=c&namespace=a,b": "the name has one of the characters",
		"/load?collection=c&colection=d":   "there is no parameter",
		"/load?collection=c&collection=d":  "stands twice",
		"/load?collection=c&prefix=x":      "there is no parameter",
	} {
		got := a.do(http.MethodPost, path, strings.NewReader(`{"value":1}`))
		a.checkError(got, http.StatusBadRequest, "USAGE", text)
	}
	a.checkError(a.load("c", strings.NewReader("x"), "Content-Encoding", "zstd"), http.StatusUnsupportedMediaType, "USAGE", "is not gzip")
	a.checkError(a.load("c", strings.NewReader("{}"), "Content-Encoding", "gzip"), http.StatusBadRequest, "USAGE", "it is not gzip")
	a.checkError(a.get("/load?collection=c"), http.StatusMethodNotAllowed, "USAGE")
	a.checkError(a.do(http.MethodPost, "/dump?collection=c", nil), http.StatusMethodNotAllowed, "USAGE")
	a.want("/graphql", `{collections {name}}`, "", `{"collections":[]}`)
}

// TestBrokenBodies cuts bodies off: what came whole is stored and told, the
// line that was cut is not.
func TestBrokenBodies(t *testing.T) {
	a := newAlpha(t)
	a.server.batchRecords = smallBatch
	lines := strings.SplitAfter(numbered(2_500), "\n")[:2_500]
	text := strings.Join(lines, "")
	packed := zipped(t, text)
	for name, cut := range map[string][]byte{
		"gzip_cut":    packed[:len(packed)*2/3],
		"gzip_no_end": packed[:len(packed)-4],
		"gzip_flipped": func() []byte { // its check sum
			b := bytes.Clone(packed)
			b[len(b)-6] ^= 1
			return b
		}(),
		"gzip_and_more": append(bytes.Clone(packed), "more"...),
	} {
		got := a.load(name, bytes.NewReader(cut))
		var failed loadFailure
		if err := json.Unmarshal([]byte(got.body), &failed); err != nil || got.status != http.StatusBadRequest {
			t.Fatalf("%s: %d %s", name, got.status, got.body)
		}
		e := failed.Error
		if !strings.HasPrefix(e.Reason, "the body cannot be read on: ") || e.Line != e.Stored+1 || e.Stored == 0 || e.Stored > 2_500 {
			t.Errorf("%s: %s", name, got.body)
		}
		if a.dump(name) != strings.Join(lines[:e.Stored], "") {
			t.Errorf("%s: %d records are said to be stored", name, e.Stored)
		}
	}

	// A client that goes away in the middle of a line.
	conn, err := net.Dial("tcp", strings.TrimPrefix(a.http.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = fmt.Fprintf(conn, "POST /load?collection=gone HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n%s{\"key\":\"cut\",\"value\":1", strings.Join(lines[:3], ""))
	if err := errors.Join(err, conn.Close()); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		got := a.get("/dump?collection=gone")
		if got.status == http.StatusOK && got.body == strings.Join(lines[:3], "") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("stored is %s", got.body)
		}
	}
}

// TestLoadTellsOfAStoreThatEnds closes the node in the middle of a load.
func TestLoadTellsOfAStoreThatEnds(t *testing.T) {
	a := newAlpha(t)
	a.server.batchRecords = smallBatch
	reader, writer := io.Pipe()
	answers := make(chan answer, 1)
	go func() { answers <- a.load("c", reader) }()
	if _, err := io.WriteString(writer, numbered(smallBatch)); err != nil {
		t.Fatal(err)
	}
	for a.get("/dump?collection=c").status != http.StatusOK { // the first batch is stored
		time.Sleep(time.Millisecond)
	}
	if err := a.node.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := io.WriteString(writer, numbered(3*smallBatch))
	if err == nil {
		err = writer.Close()
	}
	if err != nil && !errors.Is(err, io.ErrClosedPipe) {
		t.Fatal(err)
	}
	got := <-answers
	if want := fmt.Sprintf(`{"error":{"line":%d,"reason":"cannot store the %d records from line %d on: `, smallBatch+1, smallBatch, smallBatch+1); got.status != http.StatusServiceUnavailable ||
		!strings.HasPrefix(got.body, want) || !strings.Contains(got.body, fmt.Sprintf(`"stored":%d,`, smallBatch)) {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestRecordsWithoutKeys(t *testing.T) {
	a := newAlpha(t)
	if got := a.load("c", strings.NewReader(strings.Repeat("{\"value\":1}\n", 4_500))); got.status != 200 {
		t.Fatal(got.body)
	}
	a.want("/graphql", `{collections {count}}`, "", `{"collections":[{"count":4500}]}`)
}

func FuzzDecodeRecord(f *testing.F) {
	for _, line := range []string{`{"key":"a","value":{"b":[1,2]}}`, `{"value":1}`, ` { "value" : null , "key" : "\u00e9" } `, `{"key":"a","value":1}}`, `{"key":1}`, "\x1f\x8b", `{"key":"\ud800","value":""}`} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		key, value, err := decodeRecord(line)
		if err != nil {
			return
		}
		var plain struct {
			Key   *string         `json:"key"`
			Value json.RawMessage `json:"value"`
		}
		decoder := json.NewDecoder(bytes.NewReader(line))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&plain); err != nil {
			t.Fatalf("%q is taken, encoding/json says %v", line, err)
		}
		if plain.Key == nil && key != "" || plain.Key != nil && *plain.Key != key || !bytes.Equal(plain.Value, value) {
			t.Fatalf("%q: %q %q, encoding/json: %v %q", line, key, value, plain.Key, plain.Value)
		}
		if key == "" {
			return
		}
		again, same, err := decodeRecord(bytes.TrimSuffix(appendRecord(nil, key, value), []byte("\n")))
		if err != nil || again != key || !bytes.Equal(same, value) {
			t.Fatalf("%q is written as %q", line, appendRecord(nil, key, value))
		}
	})
}

// FuzzLines cuts a text into lines and wants what bytes.Split does.
func FuzzLines(f *testing.F) {
	f.Add([]byte("a\n\n b \r\nc"), uint16(3))
	f.Add(bytes.Repeat([]byte("x"), 300), uint16(100))
	f.Fuzz(func(t *testing.T, text []byte, limit uint16) {
		in := newLines(bytes.NewReader(text), int(limit)+1, (*budget.Budget)(nil).Open())
		var buf []byte
		for number, want := range bytes.Split(text, []byte("\n")) {
			end := 1
			if number == bytes.Count(text, []byte("\n")) {
				end = 0
			}
			tooLong := len(want)+end > int(limit)+1
			if !tooLong && len(bytes.TrimSpace(want)) == 0 {
				continue
			}
			line, rest, err := in.next(buf)
			buf = rest
			if tooLong {
				if !errors.Is(err, errLineTooLong) || in.number != int64(number+1) {
					t.Fatalf("line %d of %d bytes: %v in line %d", number+1, len(want), err, in.number)
				}
				return
			}
			if err != nil || !bytes.Equal(line, bytes.TrimSpace(want)) || in.number != int64(number+1) {
				t.Fatalf("line %d is %q, %v, not %q", in.number, line, err, want)
			}
		}
		if line, _, err := in.next(buf); !errors.Is(err, io.EOF) {
			t.Fatalf("after the last line: %q, %v", line, err)
		}
	})
}
