package destination

import (
	"net/url"
	"path"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/brockdb/brock/backup/fault"
)

const (
	acceptedForms = "a destination is an absolute path (/backups/db1) or a URI (file:///backups/db1, s3:///bucket/db1, " +
		"minio://host:9000/bucket/db1, gs://bucket/db1, azblob://container/db1)"
	maxURIBytes = 4096
)

// Scheme is the kind of storage that a URI names.
type Scheme string

// The schemes. azure:// is another spelling of AzBlob.
const (
	File   Scheme = "file"
	S3     Scheme = "s3"
	MinIO  Scheme = "minio"
	GS     Scheme = "gs"
	AzBlob Scheme = "azblob"
)

// Location is what a URI names.
type Location struct {
	Scheme Scheme
	Host   string // of s3 and minio: "host" or "host:port"
	Bucket string // or container; "" for a file
	Prefix string // below the bucket, without slashes around it; the absolute path of a file
	Secure bool   // whether s3 and minio are spoken to through TLS
}

const opOpen = "open destination"

// Parse returns what uri names:
//
//	/path, file:///path
//	s3://host/bucket/prefix, s3:///bucket/prefix (of Amazon)
//	minio://host:port/bucket/prefix
//	gs://bucket/prefix
//	azblob://container/prefix, azure://container/prefix
//
// s3 and minio may end with ?secure=false for plain HTTP. Percent escapes stand
// for their bytes, except in a plain path. Anything else is an error of kind
// Usage that says what is accepted.
func Parse(uri string) (Location, error) {
	switch {
	case uri == "":
		return Location{}, usage("it is empty")
	case len(uri) > maxURIBytes:
		return Location{}, usage("it is longer than %d bytes", maxURIBytes)
	case !utf8.ValidString(uri):
		return Location{}, usage("it is not valid UTF-8")
	case strings.ContainsFunc(uri, unicode.IsControl):
		return Location{}, usage("it contains a control character")
	case uri[0] == '/':
		return Location{Scheme: File, Prefix: path.Clean(uri)}, nil
	}
	scheme, rest, ok := cutScheme(uri)
	if !ok {
		return Location{}, usage("%s is not an absolute path", quoteHarmless(uri))
	}
	authority, _, _ := strings.Cut(rest, "/")
	if strings.ContainsRune(authority, '@') {
		return Location{}, usage("the URI contains a user name or password").
			WithHint("give credentials in their own fields, never in the URI")
	}
	switch Scheme(scheme) {
	case File:
		return parseFileURI(rest)
	case S3, MinIO:
		return parseHostURI(Scheme(scheme), rest)
	case GS, AzBlob, "azure":
		if scheme == "azure" {
			scheme = string(AzBlob)
		}
		return parseBucketURI(Scheme(scheme), rest)
	}
	return Location{}, usage("unknown scheme %q: known are file, s3, minio, gs, azblob, azure", scheme)
}

// Canonical returns the one spelling of uri: "/b" for /b, /b/, file:///b and
// /x/../b. Two URIs with the same spelling are the same destination. Symbolic
// links are not resolved, nor are names of hosts: a place that is reached in two
// ways has two spellings, and the lease keeps its writers apart.
func Canonical(uri string) (string, error) {
	l, err := Parse(uri)
	if err != nil {
		return "", err
	}
	return l.String(), nil
}

// String returns the canonical URI, which Parse reads back.
func (l Location) String() string {
	s := l.Base()
	if l.hasHost() && !l.Secure {
		s += "?secure=false"
	}
	return s
}

// Base returns the URI without its query: objects are named by it, a slash and
// their own name.
func (l Location) Base() string {
	if l.Scheme == File {
		return l.Prefix
	}
	s := string(l.Scheme) + "://"
	if l.hasHost() {
		s += l.Host + "/"
	}
	s += l.Bucket
	if l.Prefix != "" {
		s += "/" + strings.NewReplacer("%", "%25", "?", "%3F", "#", "%23").Replace(l.Prefix)
	}
	return s
}

func (l Location) hasHost() bool { return l.Scheme == S3 || l.Scheme == MinIO }

// parseFileURI returns the directory of a file URI, given what follows
// "file://". net/url is not used for the whole: its errors repeat the URI.
func parseFileURI(rest string) (Location, error) {
	switch {
	case rest == "":
		return Location{}, usage("the URI has no path")
	case strings.ContainsAny(rest, "?#"):
		return Location{}, usage("a file URI has no query and no fragment").
			WithHint(`write a "?" of a path as %%3F, a "#" as %%23`)
	case rest[0] != '/':
		return Location{}, usage("a file URI has no host").
			WithHint("three slashes precede the path: file:///backups/db1")
	}
	dir, err := unescape(rest)
	if err != nil {
		return Location{}, err
	}
	return Location{Scheme: File, Prefix: path.Clean(dir)}, nil
}

// unescape replaces the percent escapes of a path.
func unescape(escaped string) (string, error) {
	s, err := url.PathUnescape(escaped)
	switch {
	case err != nil:
		return "", usage("the URI has a malformed percent escape")
	case !utf8.ValidString(s):
		return "", usage("the path is not valid UTF-8")
	case strings.ContainsFunc(s, unicode.IsControl):
		return "", usage("the path contains a control character")
	}
	return s, nil
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
