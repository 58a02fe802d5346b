package graphiql

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func get(t *testing.T, h http.Handler, method, target string, header http.Header) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, target, nil)
	if header != nil {
		r.Header = header
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

var reference = regexp.MustCompile(`<(script|link|img|iframe|a)\b[^>]*?\b(?:src|href)="([^"]*)"`)

func TestPageLoadsOnlyServedAssets(t *testing.T) {
	w := get(t, Handler("brock", "/admin"), http.MethodGet, "/admin", nil)
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("got status %d, type %q", w.Code, w.Header().Get("Content-Type"))
	}
	wantTypes := map[string]string{"script": "text/javascript; charset=utf-8", "link": "text/css; charset=utf-8"}
	var names []string
	for _, match := range reference.FindAllStringSubmatch(w.Body.String(), -1) {
		tag, target := match[1], match[2]
		if target == "data:," {
			continue // the empty icon
		}
		name, local := strings.CutPrefix(target, AssetsPath)
		if !local {
			t.Errorf("the page refers to %s, outside of %s", target, AssetsPath)
			continue
		}
		name, _, _ = strings.Cut(name, "?")
		names = append(names, name)

		a := get(t, Assets(), http.MethodGet, target, nil)
		if a.Code != http.StatusOK || a.Body.Len() == 0 {
			t.Errorf("%s: got status %d and %d bytes", target, a.Code, a.Body.Len())
		}
		if got := a.Header().Get("Content-Type"); got != wantTypes[tag] {
			t.Errorf("%s: got type %q, want %q", target, got, wantTypes[tag])
		}
		if got := a.Header().Get("Cache-Control"); !strings.Contains(got, "immutable") {
			t.Errorf("%s: got Cache-Control %q", target, got)
		}
	}
	want := []string{
		"graphiql.min.css", "plugin-explorer.css", "page.css", "react.production.min.js",
		"react-dom.production.min.js", "graphiql.min.js", "plugin-explorer.umd.js", "page.js",
	}
	if !slices.Equal(names, want) {
		t.Errorf("the page refers to\n%v, want\n%v", names, want)
	}
	if strings.Contains(w.Body.String(), "//") {
		t.Errorf("the page names another host:\n%s", w.Body)
	}
}

var configElement = regexp.MustCompile(`(?s)<script id="config" type="application/json">(.*?)</script>`)

func TestPageCarriesExamples(t *testing.T) {
	examples := []Example{
		{Query: "mutation backup {\n  backup(input: {destination: \"/b\"}) { taskId }\n}"},
		{Query: "query a { b }", Variables: `{"text": "</script><script>alert(1)</script> ü \u2028"}`},
	}
	w := get(t, Handler(`<b>"brock"`, "/admin", examples...), http.MethodGet, "/admin", nil)
	if !strings.Contains(w.Body.String(), "<title>&lt;b&gt;&#34;brock&#34;</title>") {
		t.Errorf("the title is missing or not escaped:\n%s", w.Body)
	}
	match := configElement.FindStringSubmatch(w.Body.String())
	if match == nil {
		t.Fatalf("no config in\n%s", w.Body)
	}
	var got config
	if err := json.Unmarshal([]byte(match[1]), &got); err != nil {
		t.Fatalf("%v in %s", err, match[1])
	}
	if got.Endpoint != "/admin" || !slices.Equal(got.Examples, examples) {
		t.Errorf("got %+v", got)
	}
}

func TestContentSecurityPolicy(t *testing.T) {
	page := Handler("brock", "/admin")
	nonce := regexp.MustCompile(`script-src 'nonce-([A-Z2-7]{26,})';`)
	seen := make(map[string]bool)
	for range 3 {
		w := get(t, page, http.MethodGet, "/admin", nil)
		policy := w.Header().Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none'; ") {
			t.Errorf("the policy does not start closed: %s", policy)
		}
		for _, hole := range []string{"unsafe", "*", "http", "script-src 'self'"} {
			if strings.Contains(policy, hole) {
				t.Errorf("the policy allows %s: %s", hole, policy)
			}
		}
		match := nonce.FindStringSubmatch(policy)
		if match == nil {
			t.Fatalf("no nonce in %s", policy)
		}
		if seen[match[1]] {
			t.Errorf("nonce %s was used twice", match[1])
		}
		seen[match[1]] = true
		for _, tag := range regexp.MustCompile(`<(?:script|link rel="stylesheet")[^>]*>`).FindAllString(w.Body.String(), -1) {
			if strings.Contains(tag, "application/json") {
				continue // data: never run, needs no permission
			}
			if !strings.Contains(tag, `nonce="`+match[1]+`"`) {
				t.Errorf("%s lacks the nonce %s", tag, match[1])
			}
		}
	}
}
