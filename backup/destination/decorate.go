package destination

import (
	"net/http"
	"strings"
)

// decorate puts around a backend what is the same for every one: the one place
// where that is done. o has its defaults.
//
// A directory is neither retried nor watched, the file system does that; its
// bandwidth is bounded here and not on a connection.
func decorate(d Destination, l Location, o Options) Destination {
	switch {
	case l.Scheme != File:
		d = Retrying(d, o.Retry)
	case o.Bandwidth != nil:
		d = Limited(d, o.Bandwidth)
	}
	if o.Observer != nil {
		d = Observed(d, string(l.Scheme), o.Observer)
	}
	return d
}

// decorateTransport puts around the connection what has to see every request.
func decorateTransport(t http.RoundTripper, o Options) http.RoundTripper {
	t = &stallTransport{t, o.StallTimeout}
	if o.Bandwidth != nil {
		t = &limitTransport{t, o.Bandwidth}
	}
	if o.Observer != nil {
		t = &observeTransport{t, o.scheme, o.Observer}
	}
	return t
}

// Unwrap returns what is inside all decorators of d: the backend itself.
func Unwrap(d Destination) Destination {
	for {
		outer, ok := d.(interface{ Unwrap() Destination })
		if !ok {
			return d
		}
		d = outer.Unwrap()
	}
}

// objectURI names an object, or the destination when name is "".
func objectURI(d Destination, name string) string {
	base := d.String()
	if !strings.HasPrefix(base, "/") {
		base, _, _ = strings.Cut(base, "?") // of a bucket: see Location.Base
	}
	if name == "" {
		return base
	}
	return base + "/" + name
}
