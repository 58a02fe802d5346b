package destination

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"

	"cloud.google.com/go/storage"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"
	htransport "google.golang.org/api/transport/http"

	"github.com/brockdb/brock/backup/fault"
)

// gcsStore is the destination in a bucket of Google Cloud Storage.
type gcsStore struct {
	bucket
	transport http.RoundTripper
	who       string // for people

	mu     sync.Mutex
	client *storage.Client // made by the first call: finding credentials may ask the machine's metadata
}

const emulatorVariable = "STORAGE_EMULATOR_HOST"

// openGCS returns the destination in a bucket of Google Cloud Storage.
//
// Who it is, for reads and writes alike: nobody, when the request is to be
// anonymous or STORAGE_EMULATOR_HOST is set; else Google's application default
// credentials, which are GOOGLE_APPLICATION_CREDENTIALS (a service account or
// workload identity federation), those of gcloud, then the machine's.
func openGCS(_ context.Context, l Location, o Options) (Destination, error) {
	if o.Credentials.AccessKey != "" || o.Credentials.SecretKey != "" || o.Credentials.SessionToken != "" {
		return nil, fault.New(fault.Usage, opOpen, "gs:// takes no access keys").
			WithHint("set GOOGLE_APPLICATION_CREDENTIALS, use the identity of the machine, or ask to be anonymous")
	}
	transport, err := newTransport(o, "")
	if err != nil {
		return nil, err
	}
	s := &gcsStore{transport: &brokenTransport{transport}, who: "the application default credentials"}
	s.bucket = bucket{location: l, options: o, classify: s.classify}
	switch file := os.Getenv("GOOGLE_APPLICATION_CREDENTIALS"); {
	case s.isAnonymous():
		s.who = "nobody (anonymous)"
	case file != "":
		s.who = "the credentials in " + file
	}
	return s, nil
}

func (s *gcsStore) isAnonymous() bool {
	return s.options.Credentials.Anonymous || os.Getenv(emulatorVariable) != ""
}

// object returns the handle of an object. No request is retried by the client:
// brock does, and says so.
func (s *gcsStore) object(ctx context.Context, name string) (*storage.ObjectHandle, error) {
	b, err := s.handle(ctx)
	if err != nil {
		return nil, err
	}
	return b.Object(s.key(name)), nil
}

func (s *gcsStore) handle(ctx context.Context) (*storage.BucketHandle, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client == nil {
		client, err := s.newClient(context.WithoutCancel(ctx))
		if err != nil {
			return nil, err
		}
		client.SetRetry(storage.WithPolicy(storage.RetryNever))
		s.client = client
	}
	return s.client.Bucket(s.location.Bucket), nil
}

func (s *gcsStore) newClient(ctx context.Context) (*storage.Client, error) {
	transport := s.transport
	if !s.isAnonymous() {
		var err error
		transport, err = htransport.NewTransport(ctx, s.transport, option.WithScopes(storage.ScopeReadWrite))
		if err != nil {
			return nil, &fault.Error{Kind: fault.Denied, Op: "find credentials for " + s.location.Base(), Err: err,
				Hint: "set GOOGLE_APPLICATION_CREDENTIALS, use the identity of the machine, or ask to be anonymous"}
		}
	}
	return storage.NewClient(ctx, option.WithHTTPClient(&http.Client{Transport: transport}),
		storage.WithDisabledClientMetrics(), storage.WithJSONReads())
}

// classify implements bucket.fail.
func (s *gcsStore) classify(e *fault.Error, action string, err error) {
	var answer *googleapi.Error
	switch {
	case errors.Is(err, storage.ErrBucketNotExist):
		e.Kind, e.Err = fault.NotFound, fmt.Errorf("there is no bucket %s", s.location.Bucket)
		e.Hint = "create the bucket; brock does not"
	case errors.Is(err, storage.ErrObjectNotExist):
		e.Kind, e.Err = fault.NotFound, errors.New("it does not exist")
	case errors.As(err, &answer):
		e.Err = fmt.Errorf("%s (status %d)", printable(answer.Message), answer.Code)
		s.classifyStatus(e, answer.Code, s.who, action)
		if e.Kind == fault.Denied {
			e.Err = fmt.Errorf("%s may not %s in bucket %s (%s)", s.who, orThis(action), s.location.Bucket, printable(answer.Message))
		}
	default:
		classifyNetwork(e, err)
	}
}

func orThis(action string) string {
	if action == "" {
		return "do this"
	}
	return action
}

func (s *gcsStore) attrs(ctx context.Context, verb, name string) (*storage.ObjectAttrs, error) {
	if err := s.check(ctx, verb, name); err != nil {
		return nil, err
	}
	object, err := s.object(ctx, name)
	if err != nil {
		return nil, s.fail(ctx, verb, name, "", err)
	}
	attrs, err := object.Attrs(ctx)
	return attrs, s.fail(ctx, verb, name, "storage.objects.get", err)
}

// Stat implements Destination.
func (s *gcsStore) Stat(ctx context.Context, name string) (Info, error) {
	attrs, err := s.attrs(ctx, "stat", name)
	if err != nil {
		return Info{}, err
	}
	return Info{Name: name, Size: attrs.Size, Modified: attrs.Updated.UTC()}, nil
}

// Remove implements Destination.
func (s *gcsStore) Remove(ctx context.Context, name string) error {
	if err := s.check(ctx, "remove", name); err != nil {
		return err
	}
	object, err := s.object(ctx, name)
	if err == nil {
		err = object.Delete(ctx)
	}
	return s.fail(ctx, "remove", name, "storage.objects.delete", err)
}

// List implements Destination.
func (s *gcsStore) List(ctx context.Context, dir string, visit func(Info) error) error {
	prefix, err := s.listPrefix(ctx, dir)
	if err != nil {
		return err
	}
	handle, err := s.handle(ctx)
	if err != nil {
		return s.fail(ctx, "list", dir, "", err)
	}
	query := &storage.Query{Prefix: prefix, Delimiter: "/", Projection: storage.ProjectionNoACL}
	if err := query.SetAttrSelection([]string{"Name", "Size", "Updated"}); err != nil {
		return s.fail(ctx, "list", dir, "", err)
	}
	var found []Info
	for objects := handle.Objects(ctx, query); ; {
		attrs, err := objects.Next()
		if errors.Is(err, iterator.Done) {
			break
		}
		if err != nil {
			return s.fail(ctx, "list", dir, "storage.objects.list", err)
		}
		if name, ok := s.name(attrs.Prefix+attrs.Name, prefix); ok {
			info := Info{Name: name, Dir: attrs.Prefix != ""}
			if !info.Dir {
				info.Size, info.Modified = attrs.Size, attrs.Updated.UTC()
			}
			found = append(found, info)
		}
	}
	return s.visitSorted(ctx, dir, found, visit)
}

// Open implements Destination with one ranged request.
func (s *gcsStore) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	return s.open(ctx, name, offset, length, 0)
}

// open reads a range; generation, when it is not 0, says of which object.
func (s *gcsStore) open(ctx context.Context, name string, offset, length, generation int64) (io.ReadCloser, error) {
	if err := s.check(ctx, "open", name); err != nil {
		return nil, err
	}
	if err := s.checkRange(name, offset); err != nil {
		return nil, err
	}
	if length == 0 || length > 0 && offset+length < 0 {
		return s.openEmpty(ctx, name, offset, length)
	}
	object, err := s.object(ctx, name)
	if err != nil {
		return nil, s.fail(ctx, "open", name, "", err)
	}
	if generation != 0 {
		object = object.Generation(generation)
	}
	reading, broken := context.WithCancelCause(ctx)
	reading = context.WithValue(reading, brokenKey{}, broken)
	r, err := object.NewRangeReader(reading, offset, length)
	if err != nil {
		broken(nil)
		return s.notOpened(ctx, name, offset, length, generation, err)
	}
	body := &gcsBody{Reader: r, ctx: ctx, reading: reading, broken: broken}
	return s.opened(ctx, name, body, r.Attrs.Size, offset, length, func(ctx context.Context, offset, length int64) (io.ReadCloser, error) {
		return s.open(ctx, name, offset, length, r.Attrs.Generation)
	})
}

func (s *gcsStore) notOpened(ctx context.Context, name string, offset, length, generation int64, err error) (io.ReadCloser, error) {
	var answer *googleapi.Error
	switch {
	case errors.As(err, &answer) && answer.Code == http.StatusRequestedRangeNotSatisfiable:
		return s.openEmpty(ctx, name, offset, length)
	case generation != 0 && errors.Is(err, storage.ErrObjectNotExist):
		return nil, s.replaced(name)
	}
	return nil, s.fail(ctx, "open", name, "storage.objects.get", err)
}

func (s *gcsStore) openEmpty(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	attrs, err := s.attrs(ctx, "open", name)
	if err != nil {
		return nil, err
	}
	return s.empty(name, attrs.Size, offset, length)
}

// The client's reader opens a broken connection again by itself, without pause
// and without end. It stops when its context has ended: brokenTransport ends
// the context of the reader whose connection broke, so that brock goes on.

type brokenKey struct{}

type brokenTransport struct{ base http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t *brokenTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := t.base.RoundTrip(req)
	if broken, ok := req.Context().Value(brokenKey{}).(context.CancelCauseFunc); ok && err == nil {
		res.Body = &brokenBody{res.Body, broken}
	}
	return res, err
}

type brokenBody struct {
	io.ReadCloser
	broken context.CancelCauseFunc
}

// Read implements io.Reader.
func (b *brokenBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		b.broken(err)
	}
	return n, err
}

// gcsBody is a reader whose errors are those of its connection.
type gcsBody struct {
	*storage.Reader
	ctx     context.Context // of the caller
	reading context.Context
	broken  context.CancelCauseFunc
}

// Read implements io.Reader.
func (b *gcsBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && b.ctx.Err() == nil && b.reading.Err() != nil {
		err = context.Cause(b.reading)
	}
	return n, err
}

// Close implements io.Closer.
func (b *gcsBody) Close() error {
	defer b.broken(nil)
	return b.Reader.Close()
}
