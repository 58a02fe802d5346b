package destination

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/minio/minio-go/v7"

	"github.com/brockdb/brock/backup/fault"
)

// Open implements Destination with one ranged request.
func (s *s3Store) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	return s.open(ctx, name, offset, length, "")
}

// open reads a range of an object; etag, when it is set, must still be its own.
func (s *s3Store) open(ctx context.Context, name string, offset, length int64, etag string) (io.ReadCloser, error) {
	if err := s.check(ctx, "open", name); err != nil {
		return nil, err
	}
	if offset < 0 {
		return nil, fault.New(fault.Usage, s.op("open", name), "the offset %d is negative", offset)
	}
	if length == 0 {
		return s.openEmpty(ctx, name, offset, 0)
	}
	options, err := rangeOf(offset, length)
	if err == nil && etag != "" {
		err = options.SetMatchETag(etag)
	}
	if err != nil {
		return nil, fault.New(fault.Usage, s.op("open", name), "%w", err)
	}
	body, info, header, err := s.core.GetObject(ctx, s.location.Bucket, s.key(name), options)
	if statusOf(err) == http.StatusRequestedRangeNotSatisfiable {
		return s.openEmpty(ctx, name, offset, length)
	}
	if statusOf(err) == http.StatusPreconditionFailed {
		return nil, fault.New(fault.Corrupt, s.op("open", name), "it was replaced while it was read")
	}
	if err != nil {
		return nil, s.fail(ctx, "open", name, "s3:GetObject", err)
	}
	size := sizeOf(info, header)
	if length < 0 && size >= offset {
		length = size - offset
	}
	if length < 0 || offset > size || length > size-offset {
		_ = body.Close() // it is too short, whatever it says
		return nil, s.short(name, size, offset, length)
	}
	if offset > 0 && header.Get("Content-Range") == "" {
		_ = body.Close() // not what was asked for
		return nil, fault.New(fault.Other, s.op("open", name), "the server ignores ranges")
	}
	return &s3Reader{ctx: ctx, store: s, name: name, etag: info.ETag, body: body, left: length}, nil
}

// rangeOf returns the options of a GET. A range is open when its end is not
// known or not representable.
func rangeOf(offset, length int64) (o minio.GetObjectOptions, err error) {
	switch {
	case length > 0 && offset+length > 0:
		err = o.SetRange(offset, offset+length-1)
	case offset > 0:
		err = o.SetRange(offset, 0)
	}
	return o, err
}

// sizeOf returns the size of the whole object of which a part is answered.
func sizeOf(info minio.ObjectInfo, header http.Header) int64 {
	_, total, ok := strings.Cut(header.Get("Content-Range"), "/")
	if size, err := strconv.ParseInt(total, 10, 64); ok && err == nil {
		return size
	}
	return info.Size
}

// openEmpty answers for a range that no GET can be made of, or that was refused.
func (s *s3Store) openEmpty(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	info, err := s.head(ctx, "open", name)
	if err != nil {
		return nil, err
	}
	if offset > info.Size || length > 0 {
		return nil, s.short(name, info.Size, offset, length)
	}
	return io.NopCloser(strings.NewReader("")), nil
}

func (s *s3Store) short(name string, size, offset, length int64) error {
	return fault.New(fault.Corrupt, s.op("open", name),
		"it has %d bytes, too few to read %d from offset %d: %w", size, max(length, 0), offset, io.ErrUnexpectedEOF)
}

// s3Reader reads the answer to one GET.
type s3Reader struct {
	ctx   context.Context // of Open: it governs Read
	store *s3Store
	name  string
	etag  string
	body  io.ReadCloser
	left  int64
}

// Read implements io.Reader.
func (r *s3Reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, r.store.fail(r.ctx, "read", r.name, "", err)
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
	return n, r.store.fail(r.ctx, "read", r.name, "s3:GetObject", err)
}

// Close implements io.Closer.
func (r *s3Reader) Close() error { return r.body.Close() }

// reopen goes on in the very same object.
func (r *s3Reader) reopen(ctx context.Context, offset, length int64) (io.ReadCloser, error) {
	return r.store.open(ctx, r.name, offset, length, r.etag)
}

// List implements Destination. S3 sorts "a/" behind "a-b", so the names are
// sorted here; they are few: a folder is listed, not what is below it.
func (s *s3Store) List(ctx context.Context, dir string, visit func(Info) error) error {
	if err := ctx.Err(); err != nil {
		return s.fail(ctx, "list", dir, "", err)
	}
	prefix := s.key(dir)
	if dir != "" {
		if err := CheckName(dir); err != nil {
			return err
		}
	}
	if prefix != "" {
		prefix += "/"
	}
	found, err := s.list(ctx, dir, prefix)
	if err != nil {
		return err
	}
	slices.SortFunc(found, func(a, b Info) int { return strings.Compare(a.Name, b.Name) })
	for _, info := range found {
		if err := ctx.Err(); err != nil {
			return s.fail(ctx, "list", dir, "", err)
		}
		if err := visit(info); err != nil {
			return err
		}
	}
	return nil
}

func (s *s3Store) list(ctx context.Context, dir, prefix string) (found []Info, err error) {
	root := len(s.key(""))
	if root > 0 {
		root++ // the slash behind it
	}
	noOwner := false
	for o := range s.core.ListObjectsIter(ctx, s.location.Bucket, minio.ListObjectsOptions{Prefix: prefix, FetchOwner: &noOwner}) {
		if o.Err != nil {
			return nil, s.fail(ctx, "list", dir, "s3:ListBucket", o.Err)
		}
		if len(o.Key) <= root || !strings.HasPrefix(o.Key, prefix) {
			continue
		}
		name, isDir := strings.CutSuffix(o.Key[root:], "/")
		if CheckName(name) != nil || o.Key == prefix {
			continue // not an object of ours: put there by somebody else
		}
		info := Info{Name: name, Dir: isDir}
		if !isDir {
			info.Size, info.Modified = o.Size, o.LastModified.UTC()
		}
		found = append(found, info)
	}
	if err := ctx.Err(); err != nil { // it ends the listing without an error
		return nil, s.fail(ctx, "list", dir, "", err)
	}
	return found, nil
}
