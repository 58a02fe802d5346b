package destination

import (
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
)

// AmazonHost is the endpoint of an s3 URI that names none.
const AmazonHost = "s3.amazonaws.com"

var (
	hostPattern   = regexp.MustCompile(`^([a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(:[0-9]{1,5})?$`)
	bucketPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{1,220}[A-Za-z0-9]$`)
)

// parseHostURI reads "host/bucket/prefix?secure=false".
func parseHostURI(scheme Scheme, rest string) (Location, error) {
	rest, secure, err := cutQuery(rest)
	if err != nil {
		return Location{}, err
	}
	host, rest, _ := strings.Cut(rest, "/")
	l := Location{Scheme: scheme, Host: strings.ToLower(host), Secure: secure}
	switch {
	case host == "" && scheme == S3:
		l.Host = AmazonHost
	case host == "":
		return Location{}, usage("the URI has no host").WithHint("name the server: minio://host:9000/bucket/db1")
	case !hostPattern.MatchString(l.Host):
		return Location{}, usage("the URI has a malformed host")
	case scheme == S3 && !strings.ContainsAny(l.Host, ".:") && l.Host != "localhost":
		return Location{}, usage("%q is no endpoint of S3", l.Host).
			WithHint("three slashes precede a bucket of Amazon: s3:///%s; another endpoint stands before the bucket: s3://s3.us-west-2.amazonaws.com/bucket", l.Host)
	}
	if secure {
		l.Host = strings.TrimSuffix(l.Host, ":443")
	} else {
		l.Host = strings.TrimSuffix(l.Host, ":80")
	}
	return l.parseBucket(rest)
}

// parseBucketURI reads "bucket/prefix".
func parseBucketURI(scheme Scheme, rest string) (Location, error) {
	if strings.ContainsAny(rest, "?#") {
		return Location{}, usage("a %s URI has no query and no fragment", scheme).
			WithHint("credentials come from the environment, never from the URI; write a \"?\" of a prefix as %%3F, a \"#\" as %%23")
	}
	return Location{Scheme: scheme, Secure: true}.parseBucket(rest)
}

// parseBucket reads "bucket/prefix" into l.
func (l Location) parseBucket(rest string) (Location, error) {
	bucket, prefix, _ := strings.Cut(rest, "/")
	switch {
	case bucket == "":
		return Location{}, usage("the URI has no bucket")
	case !bucketPattern.MatchString(bucket):
		return Location{}, usage("the URI has a malformed name of a bucket").
			WithHint("a bucket has 3 to 63 letters, digits, dots and hyphens")
	}
	prefix, err := unescape(prefix)
	if err != nil {
		return Location{}, err
	}
	if slices.Contains(strings.Split(prefix, "/"), "..") {
		return Location{}, usage(`the URI has an element ".."`)
	}
	l.Bucket, l.Prefix = bucket, path.Clean("/" + prefix)[1:]
	if l.Prefix != "" {
		if err := CheckName(l.Prefix); err != nil {
			return Location{}, usage("the prefix cannot be one: %w", err)
		}
	}
	return l, nil
}

// cutQuery cuts the query off and reads it. Neither its keys nor its values are
// repeated in an error.
func cutQuery(rest string) (before string, secure bool, err error) {
	if strings.ContainsRune(rest, '#') {
		return "", false, usage("the URI has a fragment").WithHint(`write a "#" of a prefix as %%23`)
	}
	before, query, _ := strings.Cut(rest, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return "", false, usage("the URI has a malformed query").WithHint("only ?secure=false may follow")
	}
	secure = true
	for key, value := range values {
		if key != "secure" {
			return "", false, usage("the query has a key other than secure").
				WithHint("only ?secure=false may follow; give credentials in their own fields, never in the URI")
		}
		switch {
		case len(value) == 1 && value[0] == "false":
			secure = false
		case len(value) != 1 || value[0] != "true":
			return "", false, usage("secure is neither true nor false")
		}
	}
	return before, secure, nil
}
