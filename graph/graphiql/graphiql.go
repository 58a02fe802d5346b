// Package graphiql serves GraphiQL, the GraphQL editor for a browser, without
// loading anything from another host: its files are embedded.
package graphiql

import (
	"bytes"
	"crypto/rand"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
)

//go:embed page.html
var pageHTML string

// Example is an operation that a new page opens in a tab of its own, named
// after the operation.
type Example struct {
	Query     string `json:"query"`
	Variables string `json:"variables,omitempty"` // JSON object; may be empty
}

// config is what page.js reads.
type config struct {
	Endpoint string    `json:"endpoint"`
	Examples []Example `json:"examples,omitempty"`
}

// page is what the template needs.
type page struct {
	Title  string
	Nonce  string
	Config config
}

// Handler serves the editor's page. The editor sends its requests to endpoint,
// a path on the same host, and opens with the examples. The page needs Assets
// at AssetsPath.
func Handler(title, endpoint string, examples ...Example) http.Handler {
	assets := loadAssets()
	tmpl := template.New("graphiql").Funcs(template.FuncMap{
		"asset": func(name string) (string, error) {
			a, found := assets[name]
			if !found {
				return "", fmt.Errorf("no asset %q", name)
			}
			return assetURL(name, a), nil
		},
	})
	tmpl = template.Must(tmpl.Parse(pageHTML))

	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := page{Title: title, Nonce: rand.Text(), Config: config{endpoint, examples}}
		var body bytes.Buffer
		if err := tmpl.Execute(&body, p); err != nil {
			http.Error(w, "cannot render page: "+err.Error(), http.StatusInternalServerError)
			return
		}
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", contentSecurityPolicy(p.Nonce))
		h.Set("Cache-Control", "no-store")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		_, _ = body.WriteTo(w) // a browser that went away needs no page
	})
}

// contentSecurityPolicy allows what the page is made of and nothing else: the
// scripts and styles that carry the nonce, requests to this host, and the fonts
// and images inside the style sheet. A host as such is not trusted for scripts:
// this one also serves what users stored.
func contentSecurityPolicy(nonce string) string {
	return "default-src 'none'; " +
		"script-src 'nonce-" + nonce + "'; " +
		"style-src 'nonce-" + nonce + "'; " +
		"connect-src 'self'; " +
		"font-src data:; " +
		"img-src data:; " +
		"base-uri 'none'; " +
		"form-action 'none'; " +
		"frame-ancestors 'none'"
}
