package graphiql

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

// AssetsPath is where Assets must be mounted: the pages refer to it.
const AssetsPath = "/-/graphiql/"

//go:embed assets/*.js assets/*.css assets/LICENSES.txt
var embedded embed.FS

// asset is one embedded file with what its HTTP headers say.
type asset struct {
	content     []byte
	contentType string
	digest      string // SHA-256 of content, in hex
}

// Assets serves the embedded files below AssetsPath, to GET and HEAD.
//
// A URL as the pages write it carries the file's digest and may be kept by a
// browser for ever; any other is checked again at each use.
func Assets() http.Handler {
	assets := loadAssets()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		name, below := strings.CutPrefix(r.URL.Path, AssetsPath)
		a, found := assets[name]
		if !below || !found {
			http.NotFound(w, r)
			return
		}
		a.serve(w, r, name)
	})
}

func (a asset) serve(w http.ResponseWriter, r *http.Request, name string) {
	h := w.Header()
	h.Set("Content-Type", a.contentType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("ETag", `"`+a.digest+`"`)
	if r.URL.Query().Get("v") == a.version() {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "no-cache")
	}
	// Embedded files have no modification time; the ETag answers instead.
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(a.content))
}

// version is what a page adds to an asset's URL, so that a browser never uses
// the file of another release.
func (a asset) version() string { return a.digest[:16] }

// assetURL returns the address of an asset as the pages write it.
func assetURL(name string, a asset) string {
	return AssetsPath + name + "?v=" + a.version()
}

// loadAssets reads the embedded files, by name.
func loadAssets() map[string]asset {
	assets := make(map[string]asset)
	// Reading what the compiler embedded cannot fail, and the names are its own.
	names, _ := fs.Glob(embedded, "assets/*")
	for _, name := range names {
		content, _ := embedded.ReadFile(name)
		digest := sha256.Sum256(content)
		assets[path.Base(name)] = asset{
			content:     content,
			contentType: contentType(name),
			digest:      hex.EncodeToString(digest[:]),
		}
	}
	return assets
}

// contentType does not ask package mime, which reads the machine's tables.
func contentType(name string) string {
	kind := "text/plain"
	switch path.Ext(name) {
	case ".js":
		kind = "text/javascript"
	case ".css":
		kind = "text/css"
	}
	return kind + "; charset=utf-8"
}
