package destination_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/madmin-go/v3"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/destination/destinationtest"
	"github.com/brockdb/brock/backup/fault"
)

func (s *s3Server) admin(t testing.TB) *madmin.AdminClient {
	t.Helper()
	admin, err := madmin.NewWithOptions(s.address, &madmin.Options{Creds: credentials.NewStaticV4(s.keys.AccessKey, s.keys.SecretKey, "")})
	if err != nil {
		t.Fatal(err)
	}
	return admin
}

// user makes a user of MinIO with a policy of its own.
func (s *s3Server) user(t testing.TB, name, policy string) destination.Credentials {
	t.Helper()
	admin, ctx := s.admin(t), t.Context()
	keys := destination.Credentials{AccessKey: name, SecretKey: name + "-secret-key"}
	_, attached := error(nil), error(nil)
	err := errors.Join(admin.AddUser(ctx, keys.AccessKey, keys.SecretKey), admin.AddCannedPolicy(ctx, name, []byte(policy)))
	if err == nil {
		_, attached = admin.AttachPolicy(ctx, madmin.PolicyAssociationReq{Policies: []string{name}, User: name})
	}
	if err := errors.Join(err, attached); err != nil {
		t.Fatal(err)
	}
	return keys
}

func policyOf(bucket string, actions ...string) string {
	return fmt.Sprintf(`{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["%s"],
		"Resource": ["arn:aws:s3:::%s", "arn:aws:s3:::%s/*"]}]}`, strings.Join(actions, `", "`), bucket, bucket)
}

func put(ctx context.Context, d destination.Destination, name string, content []byte) (err error) {
	w, err := d.Create(ctx, name, destination.Exclusive)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Abort()) }()
	if _, err := w.Write(content); err != nil {
		return err
	}
	return w.Commit(ctx)
}

func listNames(ctx context.Context, d destination.Destination) error {
	return d.List(ctx, "", func(destination.Info) error { return nil })
}

// wantText checks kind and words of an error, and that it holds no secret.
func wantText(t *testing.T, err error, kind fault.Kind, keys destination.Credentials, words ...string) {
	t.Helper()
	text := fmt.Sprint(err, "; ", fault.HintOf(err))
	if !fault.Is(err, kind) {
		t.Errorf("got %s (%v), want kind %v", text, fault.KindOf(err), kind)
	}
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("%s does not say %q", text, word)
		}
	}
	for _, secret := range []string{keys.SecretKey, keys.SessionToken} {
		if secret != "" && strings.Contains(text, secret) {
			t.Errorf("%s holds a secret", text)
		}
	}
}

func TestMinIODenied(t *testing.T) {
	server := startMinIO(t)
	bucket := server.bucket(t, minio.MakeBucketOptions{})
	uri := server.uri(bucket, "backups")
	root := server.openAt(t, uri, destination.Options{})
	destinationtest.Put(t, root, "object", []byte("x"))
	open := func(keys destination.Credentials) destination.Destination {
		return server.openAt(t, uri, destination.Options{Credentials: keys})
	}
	ctx := t.Context()

	reader := server.user(t, "reader-of-backups", policyOf(bucket, "s3:GetObject", "s3:ListBucket"))
	d := open(reader)
	if got := destinationtest.Get(t, d, "object"); string(got) != "x" {
		t.Errorf("read %q", got)
	}
	wantText(t, put(ctx, d, "new", []byte("y")), fault.Denied, reader, "access key read…kups may not s3:PutObject in bucket "+bucket)
	wantText(t, put(ctx, d, "new", make([]byte, 20<<20)), fault.Denied, reader, "may not s3:PutObject")
	wantText(t, d.Remove(ctx, "object"), fault.Denied, reader, "may not s3:DeleteObject in bucket "+bucket, "docs/providers.md")

	writer := server.user(t, "writer-of-backups", policyOf(bucket, "s3:PutObject"))
	d = open(writer)
	if err := put(ctx, d, "new", []byte("y")); err != nil {
		t.Error(err)
	}
	wantText(t, listNames(ctx, d), fault.Denied, writer, "access key writ…kups may not s3:ListBucket in bucket "+bucket)
	_, err := d.Stat(ctx, "object")
	wantText(t, err, fault.Denied, writer, "may not s3:GetObject")

	wrong := destination.Credentials{AccessKey: reader.AccessKey, SecretKey: "not-the-secret-key"}
	wantText(t, listNames(ctx, open(wrong)), fault.Denied, wrong, "the secret key of access key read…kups is wrong")
	nobody := destination.Credentials{AccessKey: "nobody-knows-me", SecretKey: "not-the-secret-key"}
	wantText(t, listNames(ctx, open(nobody)), fault.Denied, nobody, "does not know access key nobo…s-me")

	elsewhere := server.openAt(t, server.uri("no-such-bucket", ""), destination.Options{})
	wantText(t, listNames(ctx, elsewhere), fault.NotFound, server.keys, "there is no bucket no-such-bucket at "+server.address, "create the bucket")
	wantText(t, put(ctx, elsewhere, "x", nil), fault.NotFound, server.keys, "there is no bucket")
}

func TestMinIOAnonymous(t *testing.T) {
	t.Setenv("MINIO_ROOT_USER", "half of a pair is no matter to the anonymous")
	server := startMinIO(t)
	bucket := server.bucket(t, minio.MakeBucketOptions{})
	uri := server.uri(bucket, "")
	anonymous := destination.Options{Credentials: destination.Credentials{Anonymous: true}}
	destinationtest.Put(t, server.openAt(t, uri, destination.Options{}), "object", []byte("x"))
	nobody := server.openAt(t, uri, anonymous)
	_, err := nobody.Stat(t.Context(), "object")
	wantText(t, err, fault.Denied, server.keys, "nobody (anonymous) may not s3:GetObject in bucket "+bucket)
	policy := strings.Replace(policyOf(bucket, "s3:GetObject", "s3:ListBucket"), `"Effect"`, `"Principal": {"AWS": ["*"]}, "Effect"`, 1)
	if err := server.client.SetBucketPolicy(t.Context(), bucket, policy); err != nil {
		t.Fatal(err)
	}
	if got := destinationtest.Get(t, nobody, "object"); string(got) != "x" {
		t.Errorf("read %q", got)
	}
	wantText(t, put(t.Context(), nobody, "new", nil), fault.Denied, server.keys, "nobody (anonymous) may not s3:PutObject")
}

func TestMinIOSessionToken(t *testing.T) {
	server := startMinIO(t)
	bucket := server.bucket(t, minio.MakeBucketOptions{})
	user := server.user(t, "sessions", policyOf(bucket, "s3:*"))
	sts, err := credentials.NewSTSAssumeRole("http://"+server.address, credentials.STSAssumeRoleOptions{
		AccessKey: user.AccessKey, SecretKey: user.SecretKey, DurationSeconds: 900,
	})
	if err != nil {
		t.Fatal(err)
	}
	value, err := sts.GetWithContext(nil)
	if err != nil {
		t.Fatal(err)
	}
	keys := destination.Credentials{AccessKey: value.AccessKeyID, SecretKey: value.SecretAccessKey, SessionToken: value.SessionToken}
	uri := server.uri(bucket, "temporary")
	d := server.openAt(t, uri, destination.Options{Credentials: keys})
	destinationtest.Put(t, d, "small", []byte("x"))
	large := make([]byte, 20<<20)
	destinationtest.Put(t, d, "large", large)
	if got := destinationtest.Get(t, d, "large"); len(got) != len(large) {
		t.Errorf("read %d bytes", len(got))
	}
	for _, token := range []string{"", "bm90IGEgdG9rZW4="} {
		wrong := keys
		wrong.SessionToken = token
		d := server.openAt(t, uri, destination.Options{Credentials: wrong})
		wantText(t, listNames(t.Context(), d), fault.Denied, wrong, "list minio://")
	}

	// The same from the environment and from a container's role.
	t.Setenv("AWS_ACCESS_KEY", keys.AccessKey)
	t.Setenv("AWS_SECRET_KEY", keys.SecretKey)
	t.Setenv("AWS_SESSION_TOKEN", keys.SessionToken)
	wantReads(t, uri)
	t.Setenv("AWS_ACCESS_KEY", "")
	t.Setenv("AWS_SECRET_KEY", "")
	container := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, `{"AccessKeyId": %q, "SecretAccessKey": %q, "Token": %q, "Expiration": %q}`, // whoever lacks it fails
			keys.AccessKey, keys.SecretKey, keys.SessionToken, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	}))
	defer container.Close()
	t.Setenv("HOME", t.TempDir())
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", container.URL)
	wantReads(t, uri)
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "")
	profile := fmt.Sprintf("[backups]\naws_access_key_id = %s\naws_secret_access_key = %s\naws_session_token = %s\n",
		keys.AccessKey, keys.SecretKey, keys.SessionToken)
	file := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(file, []byte(profile), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
	t.Setenv("AWS_PROFILE", "backups")
	wantReads(t, uri)
	t.Setenv("AWS_PROFILE", "nobody")
	d, err = destination.Open(t.Context(), uri, destination.Options{})
	if err != nil {
		t.Fatal(err)
	}
	wantText(t, listNames(t.Context(), d), fault.Denied, keys, "find credentials", "the shared files of AWS", "ask to be anonymous")
}

// wantReads checks that the environment has credentials that may read.
func wantReads(t *testing.T, uri string) {
	t.Helper()
	d, err := destination.Open(t.Context(), uri, destination.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := destinationtest.Get(t, d, "small"); string(got) != "x" {
		t.Errorf("read %q", got)
	}
}

func TestCredentialsAreWhole(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	all := []string{"MINIO_ACCESS_KEY", "MINIO_SECRET_KEY", "MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD", "AWS_ACCESS_KEY_ID",
		"AWS_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_SESSION_TOKEN"}
	for _, test := range []struct {
		uri, set, missing string
		given             destination.Credentials
	}{
		{uri: "s3:///bucket", set: "AWS_ACCESS_KEY_ID", missing: "AWS_SECRET_ACCESS_KEY or AWS_SECRET_KEY is missing"},
		{uri: "s3:///bucket", set: "AWS_ACCESS_KEY", missing: "AWS_SECRET_ACCESS_KEY or AWS_SECRET_KEY is missing"},
		{uri: "s3:///bucket", set: "AWS_SECRET_KEY", missing: "AWS_ACCESS_KEY_ID or AWS_ACCESS_KEY is missing"},
		{uri: "s3:///bucket", set: "MINIO_ACCESS_KEY"},
		{uri: "minio://127.0.0.1:1/bucket", set: "MINIO_ACCESS_KEY", missing: "MINIO_SECRET_KEY is missing"},
		{uri: "minio://127.0.0.1:1/bucket", set: "MINIO_ROOT_PASSWORD", missing: "MINIO_ROOT_USER is missing"},
		{uri: "minio://127.0.0.1:1/bucket", set: "AWS_SECRET_ACCESS_KEY", missing: "AWS_ACCESS_KEY_ID or"},
		{uri: "s3:///bucket", given: destination.Credentials{SecretKey: "hunter2"}, missing: "accessKey is missing"},
		{uri: "s3:///bucket", given: destination.Credentials{AccessKey: "hunter2"}, missing: "secretKey is missing"},
		{uri: "s3:///bucket", given: destination.Credentials{SessionToken: "hunter2"}, missing: "accessKey is missing"},
		{uri: "s3:///bucket", set: "AWS_ACCESS_KEY", given: destination.Credentials{AccessKey: "hunter2", SecretKey: "hunter2"}},
	} {
		for _, name := range all {
			t.Setenv(name, "")
		}
		if test.set != "" {
			t.Setenv(test.set, "hunter2")
		}
		_, err := destination.Open(t.Context(), test.uri, destination.Options{Credentials: test.given})
		if test.missing == "" {
			if err != nil {
				t.Errorf("%s, %s: %v", test.uri, test.set, err)
			}
			continue
		}
		wantText(t, err, fault.Usage, destination.Credentials{SecretKey: "hunter2"}, test.missing)
	}
}

// TestPlainHTTPWarns checks that sending credentials in the open is told, and
// only that.
func TestPlainHTTPWarns(t *testing.T) {
	keys := destination.Credentials{AccessKey: "access", SecretKey: "hunter2"}
	for uri, want := range map[string]bool{
		"minio://backups.example.com:9000/bucket?secure=false": true,
		"s3://10.1.2.3:9000/bucket?secure=false":               true,
		"minio://[2001:db8::1]:9000/bucket?secure=false":       true,
		"minio://backups.example.com:9000/bucket":              false,
		"minio://127.0.0.1:9000/bucket?secure=false":           false,
		"minio://[::1]:9000/bucket?secure=false":               false,
		"minio://localhost:9000/bucket?secure=false":           false,
		"/backups": false,
	} {
		var warnings []string
		warn := func(text string) { warnings = append(warnings, text) }
		if _, err := destination.Open(t.Context(), uri, destination.Options{Credentials: keys, Warn: warn}); err != nil {
			t.Error(err)
		}
		if (len(warnings) == 1) != want || strings.Contains(fmt.Sprint(warnings), "hunter2") {
			t.Errorf("%s: warnings %q", uri, warnings)
		}
		warnings = nil
		anonymous := destination.Options{Credentials: destination.Credentials{Anonymous: true}, Warn: warn}
		if _, err := destination.Open(t.Context(), uri, anonymous); err != nil || len(warnings) > 0 {
			t.Errorf("%s, anonymous: %v, warnings %q", uri, err, warnings)
		}
	}
}

// TestNobodyAnswers checks that an address without a server is of a kind that
// passes, and not tried for long when the caller has no time.
func TestNobodyAnswers(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	keys := destination.Credentials{AccessKey: "access", SecretKey: "hunter2"}
	d, err := destination.Open(t.Context(), "minio://"+address+"/bucket?secure=false", destination.Options{Credentials: keys})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	err = listNames(ctx, d)
	if !fault.Is(err, fault.Unavailable) && !fault.Is(err, fault.Canceled) {
		t.Errorf("got %v (%v)", err, fault.KindOf(err))
	}
}
