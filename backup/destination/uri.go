package destination

import (
	"context"
	"net/url"
	"path"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/brockdb/brock/backup/fault"
)

const (
	acceptedForms = "a destination is an absolute path (/backups/db1) or a URI (file:///backups/db1)"
	maxURIBytes   = 4096
)

// objectStores are the schemes brock knows and this build cannot reach.
var objectStores = [...]string{"s3", "minio", "gs", "azblob", "azure"}

// Options say how to reach a destination. The zero value is good for a
// directory.
type Options struct {
	Credentials Credentials
}

// Open returns the destination that uri names. It touches nothing: a directory
// is created by the first Create, and a destination that is not there shows at
// the first call.
//
// A uri is an absolute path or file:///path. Anything else is an error of kind
// Usage that says what is accepted; no error repeats user information or a
// query, because secrets may stand there.
func Open(ctx context.Context, uri string, _ Options) (Destination, error) {
	if err := ctx.Err(); err != nil {
		return nil, &fault.Error{Kind: fault.Canceled, Op: opOpen, Err: err}
	}
	dir, err := parseURI(uri)
	if err != nil {
		return nil, err
	}
	return newDir(dir), nil
}

// Canonical returns the one spelling of uri: "/b" for /b, /b/, file:///b and
// /x/../b. Two URIs with the same spelling are the same destination. Symbolic
// links are not resolved: a directory reached by two paths has two spellings,
// and the lease keeps their writers apart.
func Canonical(uri string) (string, error) { return parseURI(uri) }

const opOpen = "open destination"

// parseURI returns the cleaned absolute path of the directory uri names.
// net/url is not used for the whole: its errors repeat the URI.
func parseURI(uri string) (string, error) {
	switch {
	case uri == "":
		return "", usage("it is empty")
	case len(uri) > maxURIBytes:
		return "", usage("it is longer than %d bytes", maxURIBytes)
	case !utf8.ValidString(uri):
		return "", usage("it is not valid UTF-8")
	case strings.ContainsFunc(uri, unicode.IsControl):
		return "", usage("it contains a control character")
	case uri[0] == '/':
		return path.Clean(uri), nil
	}
	scheme, rest, ok := cutScheme(uri)
	if !ok {
		return "", usage("%s is not an absolute path", quoteHarmless(uri))
	}
	authority, _, _ := strings.Cut(rest, "/")
	if strings.ContainsRune(authority, '@') {
		return "", usage("the URI contains a user name or password").
			WithHint("give credentials in their own fields, never in the URI")
	}
	for _, known := range objectStores {
		if scheme == known {
			return "", usage("this build reaches directories only, not yet %s://", scheme).
				WithHint("%s; mount the storage, or copy the directory there", acceptedForms)
		}
	}
	if scheme != "file" {
		return "", usage("unknown scheme %q: known are file, %s", scheme, strings.Join(objectStores[:], ", "))
	}
	return parseFileURI(rest)
}

// parseFileURI returns the directory of a file URI, given what follows "file://".
func parseFileURI(rest string) (string, error) {
	switch {
	case rest == "":
		return "", usage("the URI has no path")
	case strings.ContainsAny(rest, "?#"):
		return "", usage("a file URI has no query and no fragment").
			WithHint(`write a "?" of a path as %%3F, a "#" as %%23`)
	case rest[0] != '/':
		return "", usage("a file URI has no host").
			WithHint("three slashes precede the path: file:///backups/db1")
	}
	dir, err := url.PathUnescape(rest)
	switch {
	case err != nil:
		return "", usage("the URI has a malformed percent escape")
	case !utf8.ValidString(dir):
		return "", usage("the path is not valid UTF-8")
	case strings.ContainsFunc(dir, unicode.IsControl):
		return "", usage("the path contains a control character")
	}
	return path.Clean(dir), nil
}

// cutScheme splits "Scheme://rest" and lowers the scheme.
func cutScheme(uri string) (scheme, rest string, ok bool) {
	scheme, rest, ok = strings.Cut(uri, "://")
	if !ok || scheme == "" || len(scheme) > 32 {
		return "", "", false
	}
	for i, c := range scheme {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || !strings.ContainsRune("0123456789+-.", c)) {
			return "", "", false
		}
	}
	return strings.ToLower(scheme), rest, true
}

func usage(cause string, args ...any) *fault.Error {
	return fault.New(fault.Usage, opOpen, cause, args...).WithHint(acceptedForms)
}

// quoteHarmless quotes what can only be a relative path, and hides everything
// that might carry a secret (user:password@host, ?key=secret, percent escapes).
func quoteHarmless(s string) string {
	if strings.ContainsAny(s, "@:?&=%#;") {
		return "the given text"
	}
	return quoteShort(s)
}

// quoteShort quotes s for an error and cuts it: s may be hostile.
func quoteShort(s string) string {
	const limit = 100
	if len(s) <= limit {
		return strconv.Quote(s)
	}
	return strconv.Quote(strings.ToValidUTF8(s[:limit], "")) + "…"
}
