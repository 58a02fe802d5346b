package destination

import (
	"context"
	"path"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/brockdb/brock/backup/fault"
)

// s3Store is the destination in a bucket of S3, or of a server that speaks its
// protocol. An object is a key below the prefix, so folders come and go with
// their objects.
type s3Store struct {
	core     minio.Core
	location Location
	options  Options
	identity *identity

	// signBytes says that nothing else protects what is sent: plain HTTP to
	// another machine.
	signBytes bool

	sending chan struct{} // one token per part that is being sent
	spare   chan []byte   // buffers of a part each, for the next writer

	lockMu  sync.Mutex
	lockErr error // why the bucket takes no retention
	lockOK  bool  // it was asked
}

// openS3 returns the destination in a bucket of S3 or of a server that speaks
// its protocol.
func openS3(_ context.Context, l Location, o Options) (Destination, error) {
	transport, err := newTransport(o, o.S3CACert)
	if err != nil {
		return nil, err
	}
	identity, err := newIdentity(l, o)
	if err != nil {
		return nil, err
	}
	client, err := minio.New(l.Host, &minio.Options{
		Creds: identity.credentials, Secure: l.Secure, Transport: transport,
		MaxRetries: 1, // what is worth it is retried by brock, which says so
	})
	if err != nil {
		return nil, usage("%w", err)
	}
	client.SetAppInfo("brock", "1")
	if l.sendsInTheOpen() && !o.Credentials.Anonymous {
		o.Warn("credentials go to " + l.Host + " without encryption: leave ?secure=false away where the server has TLS")
	}
	return &s3Store{
		core: minio.Core{Client: client}, location: l, options: o, identity: identity,
		signBytes: l.sendsInTheOpen(),
		sending:   make(chan struct{}, o.UploadConcurrency), spare: make(chan []byte, o.UploadConcurrency),
	}, nil
}

// String implements Destination.
func (s *s3Store) String() string { return s.location.String() }

// key returns the key of an object, or the prefix of a folder.
func (s *s3Store) key(name string) string { return path.Join(s.location.Prefix, name) }

// maxKeyBytes is the limit of S3.
const maxKeyBytes = 1024

// check refuses what cannot name an object here.
func (s *s3Store) check(ctx context.Context, verb, name string) error {
	if err := ctx.Err(); err != nil {
		return s.fail(ctx, verb, name, "", err)
	}
	if err := CheckName(name); err != nil {
		return err
	}
	if len(s.key(name)) > maxKeyBytes {
		return fault.New(fault.Usage, s.op(verb, name), "with the prefix the key is longer than %d bytes", maxKeyBytes).
			WithHint("choose a shorter prefix")
	}
	return nil
}

func (s *s3Store) op(verb, name string) string {
	if name == "" {
		return verb + " " + s.location.Base()
	}
	return verb + " " + s.location.Base() + "/" + name
}

// Stat implements Destination.
func (s *s3Store) Stat(ctx context.Context, name string) (Info, error) {
	info, err := s.head(ctx, "stat", name)
	if err != nil {
		return Info{}, err
	}
	return Info{Name: name, Size: info.Size, Modified: info.LastModified.UTC()}, nil
}

func (s *s3Store) head(ctx context.Context, verb, name string) (minio.ObjectInfo, error) {
	if err := s.check(ctx, verb, name); err != nil {
		return minio.ObjectInfo{}, err
	}
	info, err := s.core.StatObject(ctx, s.location.Bucket, s.key(name), minio.StatObjectOptions{})
	return info, s.fail(ctx, verb, name, "s3:GetObject", err)
}

// Remove implements Destination. In a bucket with versions it deletes all of
// them, so that the space is free and nothing older comes back.
func (s *s3Store) Remove(ctx context.Context, name string) error {
	info, err := s.head(ctx, "remove", name) // a DELETE does not tell whether there was anything
	if err != nil {
		return err
	}
	if info.VersionID != "" {
		return s.removeVersions(ctx, name)
	}
	return s.removeVersion(ctx, name, "")
}

func (s *s3Store) removeVersion(ctx context.Context, name, version string) error {
	err := s.core.RemoveObject(ctx, s.location.Bucket, s.key(name), minio.RemoveObjectOptions{VersionID: version})
	if err == nil {
		return nil
	}
	action := "s3:DeleteObject"
	if version != "" {
		action = "s3:DeleteObjectVersion"
	}
	failed := s.fail(ctx, "remove", name, action, err)
	if !isLockRefusal(err) && !fault.Is(failed, fault.Denied) {
		return failed
	}
	if until := s.retainedUntil(ctx, name, version); !until.IsZero() {
		return s.retained("remove", name, until)
	}
	return failed
}

// removeVersions deletes the newest version last: until then the object is there.
func (s *s3Store) removeVersions(ctx context.Context, name string) error {
	versions, err := s.versions(ctx, name)
	if err != nil {
		return err
	}
	for _, version := range versions {
		if err := s.removeVersion(ctx, name, version); err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
	}
	return nil
}

// versions returns the versions of an object, the newest last.
func (s *s3Store) versions(ctx context.Context, name string) (versions []string, err error) {
	key, newest := s.key(name), ""
	for o := range s.core.ListObjectsIter(ctx, s.location.Bucket, minio.ListObjectsOptions{
		Prefix: key, WithVersions: true, Recursive: true,
	}) {
		if o.Err != nil {
			return nil, s.fail(ctx, "remove", name, "s3:ListBucketVersions", o.Err)
		}
		if o.Key > key {
			break
		}
		if o.Key == key && o.IsLatest {
			newest = o.VersionID
		} else if o.Key == key {
			versions = append(versions, o.VersionID)
		}
	}
	if err := ctx.Err(); err != nil { // it ends the listing without an error
		return nil, s.fail(ctx, "remove", name, "", err)
	}
	if newest != "" {
		versions = append(versions, newest)
	}
	return versions, nil
}

// retainedUntil returns until when a version is locked, or the zero time.
func (s *s3Store) retainedUntil(ctx context.Context, name, version string) time.Time {
	info, err := s.core.StatObject(ctx, s.location.Bucket, s.key(name), minio.StatObjectOptions{VersionID: version})
	if err != nil {
		return time.Time{}
	}
	until, err := time.Parse(time.RFC3339, info.Metadata.Get("X-Amz-Object-Lock-Retain-Until-Date"))
	if err != nil || !until.After(time.Now()) {
		return time.Time{}
	}
	return until.UTC()
}
