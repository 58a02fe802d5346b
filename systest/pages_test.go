package systest

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// TestPages opens an alpha as a browser does, and as a program does.
func TestPages(t *testing.T) {
	t.Parallel()
	a := startAlpha(t, t.TempDir())
	for _, path := range []string{"/", "/admin", "/graphql"} {
		page := a.request(t, http.MethodGet, path, "", "Accept: text/html,application/xhtml+xml,*/*;q=0.8",
			"Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate")
		if page.status != http.StatusOK || !strings.HasPrefix(page.header.Get("Content-Type"), "text/html") {
			t.Fatalf("%s answers a browser with %d, %v", path, page.status, page.header)
		}
		if csp := page.header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src") || strings.Contains(csp, "http") {
			t.Errorf("%s has the policy %q", path, csp)
		}
		assets := wantLocal(t, a, path, page.body)
		if path == "/" {
			for _, endpoint := range []string{"/admin", "/graphql", "/load", "/dump", "/health"} {
				if !strings.Contains(page.body, `"`+endpoint) && !strings.Contains(page.body, ">"+endpoint) {
					t.Errorf("the page does not name %s:\n%s", endpoint, page.body)
				}
			}
		} else if assets < 4 || !strings.Contains(page.body, "mutation") {
			t.Errorf("%s has %d assets, and no example:\n%s", path, assets, page.body)
		}
	}
	if text := a.request(t, http.MethodGet, "/", ""); text.status != http.StatusOK || !strings.Contains(text.body, "/admin") ||
		!strings.HasPrefix(text.header.Get("Content-Type"), "text/plain") {
		t.Errorf("/ answers a program with %+v", text)
	}
	if text := a.request(t, http.MethodGet, "/nothing", ""); text.status != http.StatusNotFound {
		t.Errorf("/nothing answers %+v", text)
	}
	if live := a.request(t, http.MethodGet, "/health?live=1", ""); live.status != http.StatusOK {
		t.Errorf("/health?live=1 answers %+v", live)
	}
	a.health(t)
	a.stop(t)
}

var (
	reference = regexp.MustCompile(`(?:src|href)="([^"]*)"`)
	remote    = regexp.MustCompile(`(?:src|href|url)\s*[=(]\s*["']?(?:https?:)?//`)
)

// wantLocal follows all references of a page, none of which may lead elsewhere,
// and returns how many assets it has.
func wantLocal(t *testing.T, a *alpha, path, page string) (assets int) {
	t.Helper()
	if remote.MatchString(page) {
		t.Errorf("%s refers to another host:\n%s", path, remote.FindString(page))
	}
	for _, match := range reference.FindAllStringSubmatch(page, -1) {
		target := match[1]
		if path == "/" || strings.HasPrefix(target, "data:") {
			continue // links to the endpoints
		}
		asset := a.request(t, http.MethodGet, target, "")
		if asset.status != http.StatusOK || asset.body == "" {
			t.Errorf("%s of %s answers %d", target, path, asset.status)
		}
		if strings.HasSuffix(target, ".css") && remote.MatchString(asset.body) {
			t.Errorf("%s of %s refers to another host", target, path)
		}
		assets++
	}
	return assets
}
