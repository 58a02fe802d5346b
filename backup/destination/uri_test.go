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
		{"backups/db1", "a destination is an absolute path (/backups/db1) or a URI (file:///backups/db1)"},
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
		{"S3://bucket/b?secretKey=hunter2", "reaches directories only"},
		{"s3://bucket/b", "s3://"},
		{"s3://AKIA:hunter2@host/b", "credentials in their own fields"},
		{"minio://host:9000/bucket?secure=false", "reaches directories only"},
		{"gs://bucket/b", "reaches directories only"},
		{"azblob://container/b?sig=hunter2", "reaches directories only"},
		{"azure://account/b", "reaches directories only"},
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
	for _, value := range []any{c, &c, Options{c}, &Options{c}, []Credentials{c}, map[string]Credentials{"a": c}} {
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

func FuzzCanonical(f *testing.F) {
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
		if !path.IsAbs(dir) || path.Clean(dir) != dir || strings.ContainsRune(dir, 0) {
			t.Fatalf("%q became %q", uri, dir)
		}
		if again, err := Canonical(dir); err != nil || again != dir {
			t.Fatalf("%q became %q, then %q, %v", uri, dir, again, err)
		}
	})
}
