package destination

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/brockdb/brock/backup/fault"
)

// bucket is what the stores of Google and Azure have in common: objects below a
// prefix, and errors that name them.
type bucket struct {
	location Location
	options  Options
	classify func(e *fault.Error, action string, err error) // sets all but Op
}

// String implements Destination.
func (b *bucket) String() string { return b.location.String() }

func (b *bucket) key(name string) string { return path.Join(b.location.Prefix, name) }

func (b *bucket) op(verb, name string) string {
	if name == "" {
		return verb + " " + b.location.Base()
	}
	return verb + " " + b.location.Base() + "/" + name
}

// maxCloudKeyBytes is the limit of Google and Azure.
const maxCloudKeyBytes = 1024

// check refuses what cannot name an object here.
func (b *bucket) check(ctx context.Context, verb, name string) error {
	if err := ctx.Err(); err != nil {
		return b.fail(ctx, verb, name, "", err)
	}
	if err := CheckName(name); err != nil {
		return err
	}
	if len(b.key(name)) > maxCloudKeyBytes {
		return fault.New(fault.Usage, b.op(verb, name), "with the prefix the name is longer than %d bytes", maxCloudKeyBytes).
			WithHint("choose a shorter prefix")
	}
	return nil
}

// fail turns an error into a *fault.Error about one object. action is the
// permission that was needed. It returns nil when err is nil.
func (b *bucket) fail(ctx context.Context, verb, name, action string, err error) error {
	if err == nil {
		return nil
	}
	e := &fault.Error{Op: b.op(verb, name)}
	var known *fault.Error
	switch {
	case ctx.Err() != nil:
		e.Kind, e.Err = fault.Canceled, context.Cause(ctx)
	case errors.As(err, &known):
		e.Kind, e.Err, e.Hint = fault.KindOf(known), known, fault.HintOf(known)
	default:
		b.classify(e, action, err)
	}
	return e
}

// classifyStatus sets the kind, and a hint, by the status of an answer.
func (b *bucket) classifyStatus(e *fault.Error, status int, who, action string) {
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		e.Kind = fault.Denied
		e.Hint = "grant " + who + " that permission in " + b.location.Bucket + ", see docs/providers.md for all that are needed"
		if action != "" {
			e.Hint = "grant " + who + " " + action + " in " + b.location.Bucket + ", see docs/providers.md for all permissions that are needed"
		}
	case status == http.StatusNotFound:
		e.Kind = fault.NotFound
	case status == http.StatusPreconditionFailed:
		e.Kind = fault.Exists
	case status == http.StatusInsufficientStorage:
		e.Kind, e.Hint = fault.NoSpace, "raise the quota, or prune old backups"
	case status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout:
		e.Kind, e.Hint = fault.Unavailable, "the server is busy or failed: start again later"
	}
}

// checkMode refuses a Mode that does not exist.
func (b *bucket) checkMode(name string, mode Mode) error {
	if mode != Exclusive && mode != Replace {
		return fault.New(fault.Usage, b.op("create", name), "unknown mode %d", mode)
	}
	return nil
}

// checkRange refuses a range that begins before the object.
func (b *bucket) checkRange(name string, offset int64) error {
	if offset < 0 {
		return fault.New(fault.Usage, b.op("open", name), "the offset %d is negative", offset)
	}
	return nil
}

// short is the error of a range that reaches beyond the object.
func (b *bucket) short(name string, size, offset, length int64) error {
	return fault.New(fault.Corrupt, b.op("open", name),
		"it has %d bytes, too few to read %d from offset %d: %w", size, max(length, 0), offset, io.ErrUnexpectedEOF)
}

// empty answers for a range that no request can be made of, or that was
// refused, given the object's size.
func (b *bucket) empty(name string, size, offset, length int64) (io.ReadCloser, error) {
	if offset > size || length > 0 {
		return nil, b.short(name, size, offset, length)
	}
	return io.NopCloser(strings.NewReader("")), nil
}

// opened returns the reader of an answer, when it has what was asked for. size is
// that of the whole object; again opens the same object elsewhere.
func (b *bucket) opened(ctx context.Context, name string, body io.ReadCloser, size, offset, length int64,
	again func(ctx context.Context, offset, length int64) (io.ReadCloser, error)) (io.ReadCloser, error) {
	if length < 0 && size >= offset {
		length = size - offset
	}
	if length < 0 || offset > size || length > size-offset {
		_ = body.Close() // it is too short, whatever it says
		return nil, b.short(name, size, offset, length)
	}
	return &cloudReader{ctx: ctx, bucket: b, name: name, body: body, left: length, again: again}, nil
}

// cloudReader reads the answer to one request.
type cloudReader struct {
	ctx    context.Context // of Open: it governs Read
	bucket *bucket
	name   string
	body   io.ReadCloser
	left   int64
	again  func(ctx context.Context, offset, length int64) (io.ReadCloser, error)
}

// Read implements io.Reader.
func (r *cloudReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, r.bucket.fail(r.ctx, "read", r.name, "", err)
	}
	if r.left == 0 {
		return 0, io.EOF
	}
	n, err := r.body.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	switch {
	case r.left == 0 || err == nil:
		return n, nil
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return n, r.bucket.fail(r.ctx, "read", r.name, "", err)
}

// Close implements io.Closer.
func (r *cloudReader) Close() error { return r.body.Close() }

// reopen goes on in the very same object.
func (r *cloudReader) reopen(ctx context.Context, offset, length int64) (io.ReadCloser, error) {
	return r.again(ctx, offset, length)
}

// replaced is the error of reading on in an object that is not the same any more.
func (b *bucket) replaced(name string) error {
	return fault.New(fault.Corrupt, b.op("open", name), "it was replaced or removed while it was read")
}

// listPrefix returns the prefix of what lies in dir.
func (b *bucket) listPrefix(ctx context.Context, dir string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", b.fail(ctx, "list", dir, "", err)
	}
	if dir != "" {
		if err := CheckName(dir); err != nil {
			return "", err
		}
	}
	prefix := b.key(dir)
	if prefix != "" {
		prefix += "/"
	}
	return prefix, nil
}

// name returns the name of a key that was listed below prefix; ok is false for
// what somebody else has put there.
func (b *bucket) name(key, prefix string) (name string, ok bool) {
	root := len(b.location.Prefix)
	if root > 0 {
		root++ // the slash behind it
	}
	if len(key) <= root || !strings.HasPrefix(key, prefix) || key == prefix {
		return "", false
	}
	name = strings.TrimSuffix(key[root:], "/")
	return name, CheckName(name) == nil
}

// visitSorted shows what was listed in the order of Destination.List: the
// providers sort "a/" behind "a-b". It is one folder's, so there are few.
func (b *bucket) visitSorted(ctx context.Context, dir string, found []Info, visit func(Info) error) error {
	slices.SortFunc(found, func(x, y Info) int { return strings.Compare(x.Name, y.Name) })
	for _, info := range found {
		if err := ctx.Err(); err != nil {
			return b.fail(ctx, "list", dir, "", err)
		}
		if err := visit(info); err != nil {
			return err
		}
	}
	return nil
}

// publication is the last step of an object: the request that makes it visible.
type publication struct {
	bucket publisher
	retry  Retry // of what has to be asked or removed beside the request
	name   string
	mode   Mode
	nonce  string
	stored func(ctx context.Context) (nonce string, err error) // of the object that is there
	remove func(ctx context.Context, name string) error
}

// publisher names what is done at a store of objects, and its errors.
type publisher interface {
	op(verb, name string) string
	fail(ctx context.Context, verb, name, action string, err error) error
}

// newNonce returns what tells our object from another of the same name.
func newNonce() string { return rand.Text() }

// run makes the request, again when it failed for a passing reason. When an
// answer was lost, the next attempt is refused because the object is there: it
// is ours.
func (p *publication) run(ctx context.Context, attempts Retry, request func(context.Context) error) error {
	sent := false
	err := attempts.do(ctx, p.bucket.op("commit", p.name), func(ctx context.Context) error {
		if err := ctx.Err(); err != nil {
			return p.bucket.fail(ctx, "commit", p.name, "", err)
		}
		sent = true
		err := request(ctx)
		if fault.Is(err, fault.Exists) || errors.Is(err, errSwept) {
			ours, askErr := p.isOurs(ctx)
			switch {
			case askErr != nil:
				return askErr
			case ours:
				return nil
			}
		}
		return err
	})
	if err == nil || !sent || p.mode == Replace {
		return err
	}
	switch fault.KindOf(err) {
	case fault.Canceled, fault.Unavailable: // it may have been carried out all the same
		return also(err, p.takeBack(ctx))
	}
	return err
}

// isOurs reports whether the object that is there was written by this writer.
func (p *publication) isOurs(ctx context.Context) (ours bool, err error) {
	err = p.retry.do(ctx, p.bucket.op("commit", p.name), func(ctx context.Context) error {
		nonce, err := p.stored(ctx)
		ours = err == nil && nonce == p.nonce
		return err
	})
	if fault.Is(err, fault.NotFound) {
		err = nil
	}
	return ours, err
}

// takeBack removes the object of a Commit that failed without an answer.
func (p *publication) takeBack(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	ours, err := p.isOurs(ctx)
	if err != nil || !ours {
		return err
	}
	return p.retry.do(ctx, p.bucket.op("remove", p.name), func(ctx context.Context) error {
		err := p.remove(ctx, p.name)
		if fault.Is(err, fault.NotFound) {
			return nil
		}
		return err
	})
}
