package graphiql

import (
	"net/http"
	"os"
	"regexp"
	"testing"
)

func TestAssetsAreThePublishedOnes(t *testing.T) {
	readme, err := os.ReadFile("assets/README.md")
	if err != nil {
		t.Fatal(err)
	}
	assets := loadAssets()
	own := map[string]bool{"page.js": true, "page.css": true, "LICENSES.txt": true}
	listed := make(map[string]bool)
	for _, row := range regexp.MustCompile(`(?m)^\| (\S+) \| .* \| ([0-9a-f]{64}) \|$`).FindAllSubmatch(readme, -1) {
		name, digest := string(row[1]), string(row[2])
		listed[name] = true
		if got := assets[name].digest; got != digest {
			t.Errorf("%s has SHA-256 %q, the README says %q", name, got, digest)
		}
	}
	for name := range assets {
		if !own[name] && !listed[name] {
			t.Errorf("%s is embedded and not in the README", name)
		}
	}
	if want := len(own) + len(listed); len(assets) != want || len(listed) == 0 {
		t.Errorf("%d files are embedded, %d expected", len(assets), want)
	}
}

func TestAssetsOverHTTP(t *testing.T) {
	digest := loadAssets()["page.js"].digest
	current, size := AssetsPath+"page.js?v="+digest[:16], len(loadAssets()["page.js"].content)
	const forEver, ask = "public, max-age=31536000, immutable", "no-cache"
	tests := []struct {
		name, method, target string
		ifNoneMatch          string
		wantStatus           int
		wantCache            string
		wantBytes            int
	}{
		{"current version", "GET", current, "", 200, forEver, size},
		{"head", "HEAD", current, "", 200, forEver, 0},
		{"another version", "GET", AssetsPath + "page.js?v=0", "", 200, ask, size},
		{"no version", "GET", AssetsPath + "page.js", "", 200, ask, size},
		{"known to the browser", "GET", AssetsPath + "page.js", `"` + digest + `"`, 304, ask, 0},
		{"known in an old version", "GET", AssetsPath + "page.js", `"0"`, 200, ask, size},
		{"unknown", "GET", AssetsPath + "nothing.js", "", 404, "", -1},
		{"folder", "GET", AssetsPath, "", 404, "", -1},
		{"not below the path", "GET", "/page.js", "", 404, "", -1},
		{"the list of digests is not served", "GET", AssetsPath + "README.md", "", 404, "", -1},
		{"escape", "GET", AssetsPath + "../assets.go", "", 404, "", -1},
		{"write", "POST", current, "", 405, "", -1},
	}
	handler := Assets()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			header := http.Header{}
			if tt.ifNoneMatch != "" {
				header.Set("If-None-Match", tt.ifNoneMatch)
			}
			w := get(t, handler, tt.method, tt.target, header)
			if w.Code != tt.wantStatus {
				t.Errorf("got status %d, want %d", w.Code, tt.wantStatus)
			}
			if got := w.Header().Get("Cache-Control"); got != tt.wantCache {
				t.Errorf("got Cache-Control %q, want %q", got, tt.wantCache)
			}
			if tt.wantBytes >= 0 && w.Body.Len() != tt.wantBytes {
				t.Errorf("got %d bytes, want %d", w.Body.Len(), tt.wantBytes)
			}
		})
	}
	w := get(t, handler, "GET", AssetsPath+"LICENSES.txt", nil)
	if got := w.Header().Get("Content-Type"); w.Code != 200 || got != "text/plain; charset=utf-8" {
		t.Errorf("licenses: got status %d, type %q", w.Code, got)
	}
}
