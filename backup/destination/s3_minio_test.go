package destination_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/madmin-go/v3"
	"github.com/minio/minio-go/v7"

	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/destination/destinationtest"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/systest/servers"
)

// TestS3LeavesNoUpload ends large writers in every way but success: none may
// leave parts at the server.
func TestS3LeavesNoUpload(t *testing.T) {
	for name, start := range map[string]func(testing.TB) *s3Server{"minio": startMinIO, "versity": startVersity} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := start(t)
			bucket := server.bucket(t, minio.MakeBucketOptions{})
			d := server.openAt(t, server.uri(bucket, ""), destination.Options{PartBytes: 5 << 20})
			destinationtest.Put(t, d, "taken", []byte("x"))
			for way, end := range map[string]func(ctx context.Context, stop context.CancelFunc, w destination.Writer) error{
				"abort": func(context.Context, context.CancelFunc, destination.Writer) error { return nil },
				"canceled": func(ctx context.Context, stop context.CancelFunc, w destination.Writer) error {
					stop()
					return w.Commit(ctx)
				},
				"refused": func(ctx context.Context, _ context.CancelFunc, w destination.Writer) error { return w.Commit(ctx) },
				"canceled, writes": func(_ context.Context, stop context.CancelFunc, w destination.Writer) error {
					stop()
					_, err := w.Write(make([]byte, 1))
					return err
				},
			} {
				ctx, stop := context.WithCancel(t.Context())
				w, err := d.Create(ctx, "taken", destination.Exclusive)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := w.Write(make([]byte, 17<<20)); err != nil {
					t.Fatal(err)
				}
				if err := end(ctx, stop, w); err == nil && way != "abort" {
					t.Errorf("%s: no error", way)
				}
				if err := w.Abort(); err != nil {
					t.Errorf("%s: abort: %v", way, err)
				}
				stop()
				left := server.uploads(t, bucket)
				if len(left) > 0 && name == "versity" {
					// A part whose request was cut off may come in after the upload is gone, and
					// versitygw then makes its folder anew: the next backup removes that.
					if err := destination.RemoveDebris(t.Context(), d, ""); err != nil {
						t.Error(err)
					}
					left = server.uploads(t, bucket)
				}
				if len(left) > 0 {
					t.Errorf("%s: uploads are left: %q", way, left)
				}
			}
			if got := destinationtest.Get(t, d, "taken"); string(got) != "x" {
				t.Errorf("the object has %d bytes", len(got))
			}
		})
	}
}

// TestMinIOKilledWriters also shows that the next RemoveDebris finds the
// multipart upload of a process that was killed.
func TestMinIOKilledWriters(t *testing.T) {
	start := sync.OnceValue(func() *s3Server { // a child process must not start one
		server := startMinIO(t)
		t.Setenv("MINIO_ROOT_USER", server.keys.AccessKey) // for the children
		t.Setenv("MINIO_ROOT_PASSWORD", server.keys.SecretKey)
		return server
	})
	destinationtest.RunKilled(t, func(t *testing.T) destination.Destination {
		return start().open(t, destination.Options{PartBytes: 5 << 20})
	}, func(uri string) (destination.Destination, error) {
		return destination.Open(t.Context(), uri, destination.Options{PartBytes: 5 << 20})
	})
	server := start()
	for i := range server.buckets.Load() {
		if left := server.uploads(t, fmt.Sprintf("bucket-%d", i+1)); len(left) > 0 {
			t.Errorf("uploads are left: %q", left)
		}
	}
}

func TestMinIOQuota(t *testing.T) {
	server := startMinIO(t)
	bucket := server.bucket(t, minio.MakeBucketOptions{})
	if err := server.admin(t).SetBucketQuota(t.Context(), bucket, &madmin.BucketQuota{Size: 1 << 20, Type: madmin.HardQuota}); err != nil {
		t.Fatal(err)
	}
	d := server.openAt(t, server.uri(bucket, ""), destination.Options{})
	if err := put(t.Context(), d, "small", []byte("x")); err != nil {
		t.Error(err)
	}
	for _, size := range []int{2 << 20, 20 << 20} {
		err := put(t.Context(), d, "large", make([]byte, size))
		wantText(t, err, fault.NoSpace, server.keys, "quota", "prune old backups")
	}
	if left := server.uploads(t, bucket); len(left) > 0 {
		t.Errorf("uploads are left: %q", left)
	}
}

func TestObjectLock(t *testing.T) {
	for name, start := range map[string]func(testing.TB) *s3Server{"minio": startMinIO, "versity": startLockingVersity} {
		for _, mode := range []destination.RetentionMode{destination.Governance, destination.Compliance} {
			t.Run(fmt.Sprintf("%s %s", name, mode), func(t *testing.T) {
				t.Parallel()
				testObjectLock(t, start(t), mode)
			})
		}
	}
}

func startLockingVersity(t testing.TB) *s3Server {
	v := servers.StartVersity(t)
	return newS3Server(t, "s3", v.Address, v.AccessKey, v.SecretKey)
}

func testObjectLock(t *testing.T, server *s3Server, mode destination.RetentionMode) {
	ctx := t.Context()
	bucket := server.bucket(t, minio.MakeBucketOptions{ObjectLocking: true})
	options := destination.Options{Retention: 30 * 24 * time.Hour, RetentionMode: mode, PartBytes: 5 << 20}
	d := server.openAt(t, server.uri(bucket, "p"), options)
	for name, size := range map[string]int{"backup/small": 1, "backup/large": 11 << 20} {
		if err := put(ctx, d, name, make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		err := d.Remove(ctx, name)
		wantText(t, err, fault.Denied, server.keys, "cannot remove "+strings.TrimSuffix(d.String(), "?secure=false")+"/"+name+": it is retained until ")
		var retained *destination.RetainedError
		if !errors.As(err, &retained) || time.Until(retained.Until) < 29*24*time.Hour {
			t.Errorf("retained until %+v", retained)
		}
		if got := destinationtest.Get(t, d, name); len(got) != size {
			t.Errorf("%s has %d bytes", name, len(got))
		}
	}
	// What is no part of a backup is not locked, whatever its versions.
	for _, name := range []string{"brock.lease/0001", "probe"} {
		destinationtest.Put(t, d, name, []byte("1"))
		destinationtest.Put(t, d, name, []byte("2"))
		if err := d.Remove(ctx, name); err != nil {
			t.Error(err)
		}
		if _, err := d.Stat(ctx, name); !fault.Is(err, fault.NotFound) {
			t.Errorf("after the removal of all versions: %v", err)
		}
		if err := put(ctx, d, name, []byte("3")); err != nil {
			t.Errorf("the name is not free: %v", err)
		}
	}
	plain := server.openAt(t, server.uri(server.bucket(t, minio.MakeBucketOptions{}), ""), options)
	wantText(t, put(ctx, plain, "backup/object", nil), fault.Usage, server.keys, "the bucket has no object lock", "--retention")
}

func TestMinIOPrivateCA(t *testing.T) {
	dir := t.TempDir()
	writeCertificate(t, dir)
	m := servers.StartMinIO(t, servers.MinIOOptions{CertDir: dir})
	keys := destination.Credentials{AccessKey: m.AccessKey, SecretKey: m.SecretKey}
	ca := filepath.Join(dir, "public.crt")
	uri := "minio://" + m.Address + "/bucket"
	if err := os.Mkdir(filepath.Join(m.Dir, "bucket"), 0o750); err != nil { // a folder is a bucket
		t.Fatal(err)
	}
	open := func(uri, ca string) destination.Destination {
		d, err := destination.Open(t.Context(), uri, destination.Options{Credentials: keys, S3CACert: ca})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	d := open(uri, ca)
	for name, size := range map[string]int{"small": 10, "large": 20 << 20} {
		destinationtest.Put(t, d, name, make([]byte, size))
		if got := destinationtest.Get(t, d, name); len(got) != size {
			t.Errorf("%s has %d bytes", name, len(got))
		}
	}
	wantText(t, listNames(t.Context(), open(uri, "")), fault.Usage, keys, "certificate", "--s3_ca_cert")
	if err := listNames(t.Context(), open(uri+"?secure=false", "")); err == nil || fault.Is(err, fault.Unavailable) {
		t.Errorf("plain HTTP to a server with TLS: %v", err)
	}
	for _, file := range []string{filepath.Join(dir, "missing"), filepath.Join(dir, "private.key")} {
		_, err := destination.Open(t.Context(), uri, destination.Options{Credentials: keys, S3CACert: file})
		wantText(t, err, fault.Usage, keys, "cannot read CA certificates "+file)
	}
}

func TestMinIOPlain(t *testing.T) {
	server := startMinIO(t)
	uri := strings.TrimSuffix(server.uri(server.bucket(t, minio.MakeBucketOptions{}), ""), "?secure=false")
	wantText(t, listNames(t.Context(), server.openAt(t, uri, destination.Options{})), fault.Usage, server.keys, "?secure=false")
}

// writeCertificate writes a certificate for 127.0.0.1 that is its own authority.
func writeCertificate(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "brock test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"public.crt": {Type: "CERTIFICATE", Bytes: certificate}, "private.key": {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
