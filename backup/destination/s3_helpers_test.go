package destination_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/systest/servers"
)

// s3Server is a server of S3 under test.
type s3Server struct {
	scheme  string // of URIs
	address string
	keys    destination.Credentials // of root
	client  *minio.Client           // of root
	buckets atomic.Int64
}

func newS3Server(t testing.TB, scheme, address, access, secret string) *s3Server {
	t.Helper()
	client, err := minio.New(address, &minio.Options{Creds: credentials.NewStaticV4(access, secret, "")})
	if err != nil {
		t.Fatal(err)
	}
	return &s3Server{
		scheme: scheme, address: address, client: client,
		keys: destination.Credentials{AccessKey: access, SecretKey: secret},
	}
}

func startMinIO(t testing.TB) *s3Server {
	m := servers.StartMinIO(t, servers.MinIOOptions{})
	return newS3Server(t, "minio", m.Address, m.AccessKey, m.SecretKey)
}

func startVersity(t testing.TB) *s3Server {
	v := servers.StartVersity(t)
	return newS3Server(t, "s3", v.Address, v.AccessKey, v.SecretKey)
}

// bucket makes a bucket and returns its name.
func (s *s3Server) bucket(t testing.TB, o minio.MakeBucketOptions) string {
	t.Helper()
	name := fmt.Sprintf("bucket-%d", s.buckets.Add(1))
	if err := s.client.MakeBucket(t.Context(), name, o); err != nil {
		t.Fatal(err)
	}
	return name
}

func (s *s3Server) uri(bucket, prefix string) string {
	return strings.TrimSuffix(fmt.Sprintf("%s://%s/%s/%s", s.scheme, s.address, bucket, prefix), "/") + "?secure=false"
}

// open opens a new bucket, as root unless o says who.
func (s *s3Server) open(t testing.TB, o destination.Options) destination.Destination {
	t.Helper()
	return s.openAt(t, s.uri(s.bucket(t, minio.MakeBucketOptions{}), "p/q"), o)
}

func (s *s3Server) openAt(t testing.TB, uri string, o destination.Options) destination.Destination {
	t.Helper()
	if o.Credentials.IsZero() {
		o.Credentials = s.keys
	}
	d, err := destination.Open(t.Context(), uri, o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// uploads returns the keys of the multipart uploads that are not complete.
func (s *s3Server) uploads(t testing.TB, bucket string) (keys []string) {
	t.Helper()
	core := minio.Core{Client: s.client}
	result, err := core.ListMultipartUploads(t.Context(), bucket, "", "", "", "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range result.Uploads {
		keys = append(keys, u.Key)
	}
	return keys
}
