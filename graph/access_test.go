package graph

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/worker"
)

func TestWhitelist(t *testing.T) {
	a := newAlpha(t)
	tests := []struct {
		whitelist       []string
		allowed, denied string // peers
	}{
		{nil, "127.0.0.1 127.9.9.9 ::1 ::ffff:127.0.0.1", "10.0.0.1 192.168.1.1 ::ffff:10.0.0.1 fe80::1%eth0 ::2"},
		{[]string{"10.0.0.7"}, "127.0.0.1 10.0.0.7 ::ffff:10.0.0.7", "10.0.0.6 10.0.0.8 ::a00:7"},
		{[]string{"10.0.0.7-10.0.1.2"}, "10.0.0.7 10.0.0.255 10.0.1.2", "10.0.0.6 10.0.1.3 11.0.0.8"},
		{[]string{"10.0.0.7:10.0.1.2"}, "10.0.0.7 10.0.0.255 10.0.1.2", "10.0.0.6 10.0.1.3 11.0.0.8"},
		{[]string{" 10.1.0.0/16 ", "192.168.0.0/30"}, "10.1.0.0 10.1.255.255 192.168.0.3", "10.0.255.255 10.2.0.0 192.168.0.4"},
		{[]string{"fd00::/8", "2001:db8::1-2001:db8::ff"}, "fd12::1 2001:db8::80", "fc00::1 2001:db8::100 10.0.0.1"},
		{[]string{"fe80::1"}, "fe80::1 fe80::1%eth0", "fe80::2%eth0"},
		{[]string{"0.0.0.0/0"}, "10.0.0.1 255.255.255.255", "::2 2001:db8::1"},
		{[]string{"::ffff:10.0.0.0/104"}, "10.0.0.9", "11.0.0.9"},
		{[]string{"backup.example"}, "10.9.9.9 10.9.9.8", "10.9.9.7"},
	}
	for _, test := range tests {
		server, err := New(Options{Whitelist: test.whitelist})
		if err != nil {
			t.Fatal(err)
		}
		server.access.resolve = func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("10.9.9.9"), netip.MustParseAddr("::ffff:10.9.9.8")}, nil
		}
		server.Ready(a.node)
		for _, peer := range strings.Fields(test.allowed) {
			if status, body := adminFrom(server, peer); status != http.StatusOK {
				t.Errorf("%v: %s is denied: %d %s", test.whitelist, peer, status, body)
			}
		}
		for _, peer := range strings.Fields(test.denied) {
			status, body := adminFrom(server, peer)
			if status != http.StatusForbidden || !strings.Contains(body, "is not on the whitelist") {
				t.Errorf("%v: %s is allowed: %d %s", test.whitelist, peer, status, body)
			}
		}
	}
}

// adminFrom asks /admin as a client at the given address that claims to be
// another one.
func adminFrom(server *Server, peer string) (status int, body string) {
	req := httptest.NewRequest(http.MethodGet, "/admin?query={tasks{id}}", nil)
	req.Host = "alpha"
	req.RemoteAddr = netip.AddrPortFrom(netip.MustParseAddr(peer), 40000).String()
	req.Header.Set("X-Forwarded-For", "127.0.0.1")
	req.Header.Set("X-Real-IP", "127.0.0.1")
	req.Header.Set("Forwarded", "for=127.0.0.1")
	res := httptest.NewRecorder()
	server.ServeHTTP(res, req)
	return res.Code, res.Body.String()
}

func TestWhitelistedNamesAreLookedUpAgain(t *testing.T) {
	access, err := newAccess([]string{"a.example", "b.example"}, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	clock, lookups := time.Unix(0, 0), 0
	addresses := map[string]string{"a.example": "10.0.0.1", "b.example": "10.0.0.2"}
	access.now = func() time.Time { return clock }
	access.resolve = func(_ context.Context, host string) ([]netip.Addr, error) {
		lookups++
		if addresses[host] == "" {
			return nil, errors.New("no such host")
		}
		return []netip.Addr{netip.MustParseAddr(addresses[host])}, nil
	}
	allowed := func(peer string) bool {
		req := httptest.NewRequest(http.MethodGet, "/admin", nil)
		req.RemoteAddr = peer + ":1"
		return access.checkAddress(req) == nil
	}
	if !allowed("10.0.0.1") || !allowed("10.0.0.2") || allowed("10.0.0.3") || lookups != 2 {
		t.Errorf("at first, after %d lookups", lookups)
	}
	addresses["a.example"], addresses["b.example"] = "", "10.0.0.3"
	if !allowed("10.0.0.1") {
		t.Error("looked up at every request")
	}
	clock = clock.Add(resolveEvery)
	if allowed("10.0.0.1") || !allowed("10.0.0.3") || lookups != 4 {
		t.Errorf("a name that moved, after %d lookups", lookups)
	}
}

func TestMalformedWhitelist(t *testing.T) {
	for _, entry := range []string{"", "10.0.0", "10.0.0.256", "10.0.0.9-10.0.0.1", "10.0.0.9:10.0.0.1", "10.0.0.1:80", ":", "10.0.0.1-::1", "10.0.0.0/33", "a b", "a..b", "http://x", "10.0.0.1-", "*", "x,y"} {
		if _, err := New(Options{Whitelist: []string{entry}}); !fault.Is(err, fault.Usage) {
			t.Errorf("%q: %v", entry, err)
		}
	}
}

func TestToken(t *testing.T) {
	a := startAlpha(t, t.TempDir(), worker.Options{}, Options{AuthToken: "correct horse"})
	for _, test := range []struct {
		token  string
		status int
	}{
		{"correct horse", 200}, {"", 401}, {"correct", 401}, {"correct horse ", 200 /* HTTP trims it */}, {"Correct horse", 401}, {"correct horse battery", 401},
	} {
		got := a.do(http.MethodPost, "/admin", strings.NewReader(`{tasks{id}}`), "Content-Type", "application/graphql", "X-Dgraph-AuthToken", test.token)
		if got.status != test.status {
			t.Errorf("token %q: %d %s", test.token, got.status, got.body)
		}
		if test.status == 401 {
			a.checkError(got, 401, "DENIED", "X-Dgraph-AuthToken is missing or wrong")
		}
	}
	a.checkError(a.query("/admin", `mutation {backup(input: {destination: "/x"}) {taskId}}`), 401, "DENIED")
	a.checkError(a.get("/admin?query={tasks{id}}"), 401, "DENIED")
	// The page itself holds nothing, and a browser cannot send the header for it.
	if got := a.get("/admin", "Accept", "text/html"); got.status != 200 || !strings.Contains(got.body, "<html") {
		t.Errorf("GraphiQL: %d", got.status)
	}
	a.want("/graphql", `{namespaces}`, "", `{"namespaces":[]}`)
}

func TestPagesOfOtherSites(t *testing.T) {
	a := startAlpha(t, t.TempDir(), worker.Options{}, Options{Whitelist: []string{"db.example"}})
	host := strings.TrimPrefix(a.http.URL, "http://")
	port := host[strings.LastIndex(host, ":"):]
	tests := []struct {
		name, method string
		header       []string
		status       int
	}{
		{"no browser", "POST", nil, 200},
		{"own page", "POST", []string{"Origin", "http://" + host, "Sec-Fetch-Site", "same-origin"}, 200},
		{"own page by name", "POST", []string{"Origin", "http://localhost" + port, "Host", "localhost" + port}, 200},
		{"own page by a whitelisted name", "POST", []string{"Origin", "http://db.example", "Host", "db.example"}, 200},
		{"other site", "POST", []string{"Origin", "http://evil.example"}, 403},
		{"other port", "POST", []string{"Origin", "http://127.0.0.1:1"}, 403},
		{"sandboxed frame", "POST", []string{"Origin", "null"}, 403},
		{"without Origin", "POST", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"same site only", "POST", []string{"Sec-Fetch-Site", "same-site"}, 403},
		{"other site's GET", "GET", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"rebound name", "POST", []string{"Origin", "http://evil.example" + port, "Host", "evil.example" + port, "Sec-Fetch-Site", "same-origin"}, 403},
		{"rebound name's GET", "GET", []string{"Host", "evil.example" + port, "Sec-Fetch-Site", "same-origin"}, 403},
		{"rebound name over plain HTTP", "GET", []string{"Host", "evil.com" + port}, 403},
		{"rebound name below another", "GET", []string{"Host", "evil.github.io" + port}, 403},
		{"Origin twice", "POST", []string{"Origin", "http://" + host, "Origin", "http://evil.example"}, 400},
		{"name without a browser", "POST", []string{"Host", "alpha.internal" + port}, 200},
	}
	for _, test := range tests {
		for _, path := range []string{"/admin", "/graphql"} {
			header := append([]string{"Content-Type", "application/graphql"}, test.header...)
			got := a.do(test.method, path+"?query={__typename}", strings.NewReader(`{__typename}`), header...)
			if got.status != test.status {
				t.Errorf("%s to %s: %d, not %d: %s", test.name, path, got.status, test.status, got.body)
			}
		}
		if test.status == 200 {
			continue
		}
		for _, path := range []string{"/load?collection=c", "/dump?collection=c", "/health", "/state", "/probe/graphql", "/", "/nowhere"} {
			if got := a.do(test.method, path, strings.NewReader(`{"value":1}`), test.header...); got.status != test.status {
				t.Errorf("%s to %s: %d, not %d: %s", test.name, path, got.status, test.status, got.body)
			}
		}
	}
	a.want("/graphql", `{collections {name}}`, "", `{"collections":[]}`)
	if got := a.get("/admin", "Accept", "text/html", "Sec-Fetch-Site", "cross-site"); got.status != 200 {
		t.Errorf("a link to GraphiQL: %d", got.status)
	}
	for _, path := range []string{"/admin?query={tasks{id}}", "/dump?collection=c"} {
		if got := a.get(path, "Accept", "text/html", "Sec-Fetch-Site", "cross-site"); got.status != 403 {
			t.Errorf("a link to %s: %d", path, got.status)
		}
	}
}

func TestCORS(t *testing.T) {
	a := startAlpha(t, t.TempDir(), worker.Options{}, Options{CORSOrigins: []string{"https://ops.example", "http://10.0.0.7:3000"}})
	const good = "https://ops.example"
	got := a.do("POST", "/graphql", strings.NewReader(`{namespaces}`), "Content-Type", "application/graphql", "Origin", good)
	if got.status != 200 || got.header.Get("Access-Control-Allow-Origin") != good || got.header.Get("Vary") != "Origin" {
		t.Errorf("a page that may: %d %v", got.status, got.header)
	}
	got = a.do("OPTIONS", "/admin", nil, "Origin", good, "Access-Control-Request-Method", "POST")
	if got.status != 204 || !strings.Contains(got.header.Get("Access-Control-Allow-Headers"), "X-Dgraph-AccessToken") {
		t.Errorf("the question of a page that may: %d %v", got.status, got.header)
	}
	for _, origin := range []string{"https://ops.example.evil.com", "http://ops.example", "https://ops.example:8443", "null", "https://ops.example/"} {
		for _, method := range []string{"POST", "OPTIONS"} {
			got := a.do(method, "/graphql", strings.NewReader(`{namespaces}`), "Content-Type", "application/graphql",
				"Origin", origin, "Access-Control-Request-Method", "POST")
			if got.status != 403 || got.header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s %s: %d %v", method, origin, got.status, got.header)
			}
		}
	}
	if got := newAlpha(t).get("/health"); got.header.Get("Vary") != "" || got.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("without --cors_origin: %v", got.header)
	}
	for _, origin := range []string{"", "*", "ops.example", "https://ops.example/", "https://ops.example/a", "ftp://ops.example", "null", "https://u@ops.example"} {
		if _, err := New(Options{CORSOrigins: []string{origin}}); !fault.Is(err, fault.Usage) {
			t.Errorf("%q: %v", origin, err)
		}
	}
}
