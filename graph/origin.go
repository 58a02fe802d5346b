package graph

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"

	"github.com/brockdb/brock/backup/fault"
)

// The headers that access depends on. One that stands twice may be read in two
// ways, by a proxy and by brock.
var singleHeaders = [...]string{"Origin", tokenHeader, accessHeader, "Authorization", "Sec-Fetch-Site"}

// perimeter refuses, at every path, what a page of another site makes a browser
// send.
func (s *Server) perimeter(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, name := range singleHeaders {
			if len(r.Header.Values(name)) > 1 {
				s.deny(w, r, http.StatusBadRequest, fault.New(fault.Usage, opUse(r), "the header %s stands twice", name))
				return
			}
		}
		if err := s.access.checkHost(r); err != nil {
			s.deny(w, r, http.StatusForbidden, err)
			return
		}
		if len(s.access.origins) > 0 {
			w.Header().Add("Vary", "Origin")
		}
		switch origin := r.Header.Get("Origin"); {
		case slices.Contains(s.access.origins, strings.ToLower(origin)):
			if allowOrigin(w, r, origin) {
				return
			}
		case !fromSameOrigin(r):
			s.deny(w, r, http.StatusForbidden, fault.New(fault.Denied, opUse(r), "the request comes from a page of another site").
				WithHint("start the alpha with --cors_origin, if that site may do so"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func opUse(r *http.Request) string { return "use " + r.URL.Path }

// allowOrigin lets a page read the answer. It returns true when the request was
// only the question whether it may send another.
func allowOrigin(w http.ResponseWriter, r *http.Request, origin string) bool {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", readTsHeader)
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h.Set("Access-Control-Allow-Methods", "GET, POST")
	h.Set("Access-Control-Allow-Headers", strings.Join([]string{"Content-Type", "Content-Encoding", tokenHeader, accessHeader}, ", "))
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return true
}

// addOrigin takes the origin of pages that may send requests, as browsers write
// it.
func (a *access) addOrigin(origin string) error {
	u, err := url.Parse(origin)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Scheme+"://"+u.Host != origin {
		return fault.New(fault.Usage, "use CORS origin", "%.100q is no origin", origin).
			WithHint("give scheme, host and port as the browser shows them, such as https://ops.example or http://10.0.0.7:3000")
	}
	a.origins = append(a.origins, strings.ToLower(origin))
	return nil
}

// checkHost refuses requests that came here under a name nobody gave. A page of
// elsewhere whose name was made to point to this address (DNS rebinding) is of
// the same origin to the browser, and its GET requests over plain HTTP hold no
// sign of a browser. With TLS the certificate keeps such names away.
func (a *access) checkHost(r *http.Request) error {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	_, err := netip.ParseAddr(host)
	if err == nil || host == "localhost" || strings.HasSuffix(host, ".localhost") || slices.Contains(a.hosts, host) {
		return nil
	}
	browser := r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != ""
	if !browser && (r.TLS != nil || !registrable(host)) {
		return nil
	}
	return fault.New(fault.Denied, opUse(r), "it came under the host name %.100q, which is not on the whitelist", host).
		WithHint("use the address instead of the name, or add the name to --whitelist")
}

// registrable reports whether the name may be somebody's on the Internet, who
// can make it point anywhere: not "alpha", "alpha.internal" or "brock-0.brock".
func registrable(host string) bool {
	suffix, known := publicsuffix.PublicSuffix(host)
	return host != "" && known || strings.Contains(suffix, ".")
}

func fromSameOrigin(r *http.Request) bool {
	if origin := r.Header.Get("Origin"); origin != "" {
		u, err := url.Parse(origin)
		return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return true
	}
	// A link on another site may lead here, as long as it only shows a page.
	return r.Method == http.MethodGet && wantsHTML(r) && !r.URL.Query().Has("query") &&
		r.URL.Path != "/dump"
}
