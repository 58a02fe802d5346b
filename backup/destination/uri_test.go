package destination

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"strings"
	"testing"

	"github.com/brockdb/brock/backup/fault"
)

func TestCanonical(t *testing.T) {
	for uri, want := range map[string]string{
		"/b":                    "/b",
		"/b/":                   "/b",
		"//b///c/./":            "/b/c",
		"/x/../b":               "/b",
		"/..":                   "/",
		"file:///b":             "/b",
		"FILE:///b/":            "/b",
		"file:////b":            "/b",
		"file:///x/../b":        "/b",
		"file:///with%20space":  "/with space",
		"file:///a%2Fb":         "/a/b",
		"/with%20percent":       "/with%20percent",
		"/question?mark#number": "/question?mark#number",
		"/größe":                "/größe",
		"/a:b@c":                "/a:b@c",
	} {
		got, err := Canonical(uri)
		if err != nil || got != want {
			t.Errorf("%q: got %q, %v; want %q", uri, got, err, want)
		}
		d, err := Open(t.Context(), uri, Options{})
		if err != nil || d.String() != want {
			t.Errorf("open %q: got %v, %v; want %q", uri, d, err, want)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	const secret = "hunter2"
	for _, test := range []struct {
		uri  string
		want string // in the error or its hint
	}{
		{"", "file:///backups/db1"},
		{"backups/db1", `"backups/db1" is not an absolute path`},
		{"backups/db1", "a destination is an absolute path (/backups/db1) or a URI (file:///backups/db1, s3:///bucket/db1, "},
		{"./b", "not an absolute path"},
		{"~/b", "not an absolute path"},
		{"file:/b", "not an absolute path"},
		{"user:hunter2@host/b", "not an absolute path"},
		{"b?secretKey=hunter2", "not an absolute path"},
		{"://b", "not an absolute path"},
		{"1a://b", "not an absolute path"},
		{"file://", "no path"},
		{"file://host/b", "no host"},
		{"file://localhost/b", "file:///"},
		{"file://b", "no host"},
		{"file://user:hunter2@/b", "user name or password"},
		{"file:///b?secretKey=hunter2", "no query"},
		{"file:///b#hunter2", "no fragment"},
		{"file:///b%zz", "percent escape"},
		{"file:///b%00c", "control character"},
		{"file:///b%ff", "UTF-8"},
		{"/b\n", "control character"},
		{"/b\x00", "control character"},
		{"/b\xff", "UTF-8"},
		{"/" + strings.Repeat("b", maxURIBytes), "longer than"},
		{"ftp://host/b", `unknown scheme "ftp"`},
		{"ftp://host/b", "file, s3, minio, gs, azblob, azure"},
		{"ftp://u:hunter2@host/b", "user name or password"},
		{"ftp://host/b?x=hunter2", `unknown scheme "ftp"`},
		{"S3:///bucket/b?secretKey=hunter2", "key other than secure"},
		{"s3://host:1/bucket?hunter2", "key other than secure"},
		{"s3://host:1/bucket?secure=hunter2", "neither true nor false"},
		{"s3://host:1/bucket?secure=false&secure=false", "neither true nor false"},
		{"s3://host:1/bucket?secure=%zzhunter2", "malformed query"},
		{"s3://host:1/bucket#hunter2", "fragment"},
		{"s3://bucket/b", "s3:///bucket"},
		{"s3://AKIA:hunter2@host/b", "credentials in their own fields"},
		{"s3:///", "no bucket"},
		{"s3://s3.us-west-2.amazonaws.com", "no bucket"},
		{"s3:///b", "malformed name of a bucket"},
		{"s3:///buc$ket", "malformed name of a bucket"},
		{"s3:///bucket/a/../b", `element ".."`},
		{"s3:///bucket/a%2F..%2Fb", `element ".."`},
		{"s3:///bucket/a%5Cb", "backslash"},
		{"s3:///bucket/%00", "control character"},
		{"s3:///bucket/%ff", "UTF-8"},
		{"s3:///bucket/%z", "percent escape"},
		{"minio:///bucket", "no host"},
		{"minio://ho st:9000/bucket", "malformed host"},
		{"minio://host:900000/bucket", "malformed host"},
		{"gs://bucket/b?hunter2", "no query"},
		{"gs:///b", "no bucket"},
		{"azblob://container/b?sig=hunter2", "no query"},
		{"azure://container/b#hunter2", "no fragment"},
	} {
		_, err := Open(t.Context(), test.uri, Options{})
		text := fmt.Sprint(err, "; ", fault.HintOf(err))
		if !fault.Is(err, fault.Usage) || !strings.HasPrefix(text, "cannot open destination: ") || !strings.Contains(text, test.want) {
			t.Errorf("%q: got %q, want %q", test.uri, text, test.want)
		}
		if strings.Contains(text, secret) {
			t.Errorf("%q: the secret is in %q", test.uri, text)
		}
	}
}

func TestOpenCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, "/b", Options{}); !fault.Is(err, fault.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestNewDirRefusesRelative(t *testing.T) {
	for _, root := range []string{"", "b", "./b"} {
		if _, err := NewDir(root); !fault.Is(err, fault.Usage) {
			t.Errorf("%q: got %v", root, err)
		}
	}
}

func TestCredentialsAreRedacted(t *testing.T) {
	c := Credentials{AccessKey: "AKIAhunter2", SecretKey: "hunter2", SessionToken: "tokenhunter2"}
	for _, value := range []any{c, &c, Options{Credentials: c}, &Options{Credentials: c}, []Credentials{c}, map[string]Credentials{"a": c}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			text := fmt.Sprintf(verb, value)
			if strings.Contains(text, "hunter2") || !strings.Contains(text, "[redacted]") {
				t.Errorf("%T with %s prints %s", value, verb, text)
			}
		}
		text, err := json.Marshal(value)
		if err != nil || strings.Contains(string(text), "hunter2") {
			t.Errorf("%T marshals to %s, %v", value, text, err)
		}
	}
	if c.String() != "[redacted]" || c.GoString() != "[redacted]" {
		t.Errorf("String %s, GoString %s", c.String(), c.GoString())
	}
}

func TestParse(t *testing.T) {
	for _, test := range []struct {
		uri, canonical string
		want           Location
	}{
		{"s3://s3.us-west-2.amazonaws.com/bucket/a/b", "", Location{S3, "s3.us-west-2.amazonaws.com", "bucket", "a/b", true}},
		{"s3:///bucket", "s3://s3.amazonaws.com/bucket", Location{S3, AmazonHost, "bucket", "", true}},
		{"S3:///bucket/?secure=true", "s3://s3.amazonaws.com/bucket", Location{S3, AmazonHost, "bucket", "", true}},
		{"s3://S3.example.com:443//bucket", "", Location{}},
		{"s3://S3.example.com:443/bucket//a/./b//", "s3://s3.example.com/bucket/a/b", Location{S3, "s3.example.com", "bucket", "a/b", true}},
		{"minio://127.0.0.1:9000/bucket", "", Location{MinIO, "127.0.0.1:9000", "bucket", "", true}},
		{"minio://127.0.0.1:9000/bucket?secure=false", "", Location{MinIO, "127.0.0.1:9000", "bucket", "", false}},
		{"minio://h:80/bucket/p?secure=false", "minio://h/bucket/p?secure=false", Location{MinIO, "h", "bucket", "p", false}},
		{"minio://[::1]:9000/bucket?secure=false", "", Location{MinIO, "[::1]:9000", "bucket", "", false}},
		{"minio://h:1/bucket/a%20b%3Fc%23d%25e", "minio://h:1/bucket/a b%3Fc%23d%25e", Location{MinIO, "h:1", "bucket", "a b?c#d%e", true}},
		{"gs://bucket/prefix/", "gs://bucket/prefix", Location{GS, "", "bucket", "prefix", true}},
		{"azblob://container/prefix", "", Location{AzBlob, "", "container", "prefix", true}},
		{"azure://container", "azblob://container", Location{AzBlob, "", "container", "", true}},
		{"file:///a%20b", "/a b", Location{Scheme: File, Prefix: "/a b"}},
	} {
		got, err := Parse(test.uri)
		if test.want == (Location{}) {
			if err == nil {
				t.Errorf("%q: got %+v, want an error", test.uri, got)
			}
			continue
		}
		if err != nil || got != test.want {
			t.Errorf("%q: got %+v, %v; want %+v", test.uri, got, err, test.want)
		}
		if test.canonical == "" {
			test.canonical = test.uri
		}
		if got.String() != test.canonical {
			t.Errorf("%q: canonical is %q, want %q", test.uri, got.String(), test.canonical)
		}
		if again, err := Parse(got.String()); err != nil || again != got {
			t.Errorf("%q: %q is read back as %+v, %v", test.uri, got, again, err)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for want, o := range map[string]Options{
		"upload concurrency": {UploadConcurrency: -1},
		"parts of 1 bytes":   {PartBytes: 1},
		"bandwidth":          {MaxBandwidth: -1},
		"timeout":            {StallTimeout: -1},
		"retention -1":       {Retention: -1},
		"retention mode":     {Retention: 1, RetentionMode: "forever"},
		"no retention":       {RetentionMode: Compliance},
		"knows no retention": {Retention: 1},
	} {
		_, err := Open(t.Context(), "/b", o)
		if !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%+v: got %v, want %q", o, err, want)
		}
	}
}

func FuzzCanonical(f *testing.F) {
	for _, uri := range []string{"s3:///bucket/a%20b?secure=false", "minio://h:1/bkt//x?secure=hunter2", "gs://bucket/p", "azure://container/p"} {
		f.Add(uri)
	}
	for _, uri := range []string{"/b", "file:///b%20c", "file://host/b", "s3://a:hunter2@b/c", "x?hunter2", "hunter2@", "../b", "file:///%2e%2e/b"} {
		f.Add(uri)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		dir, err := Canonical(uri)
		if err != nil {
			if !fault.Is(err, fault.Usage) {
				t.Fatalf("%q: kind %v", uri, fault.KindOf(err))
			}
			_, secret, _ := strings.Cut(uri, "@")
			if len(secret) > 12 && strings.Contains(err.Error(), secret) {
				t.Fatalf("%q: the error repeats it: %v", uri, err)
			}
			return
		}
		isPath := path.IsAbs(dir) && path.Clean(dir) == dir
		if isPath == strings.Contains(dir, "://") || strings.ContainsRune(dir, 0) {
			t.Fatalf("%q became %q", uri, dir)
		}
		if again, err := Canonical(dir); err != nil || again != dir {
			t.Fatalf("%q became %q, then %q, %v", uri, dir, again, err)
		}
	})
}
