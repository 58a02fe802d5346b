package destination

import (
	"context"

	"github.com/brockdb/brock/backup/fault"
)

// Open returns the destination that uri names. It touches nothing: a directory
// is created by the first Create, and a destination that is not there shows at
// the first call.
//
// What a uri may be, Parse says. No error repeats user information or a query,
// because secrets may stand there.
func Open(ctx context.Context, uri string, o Options) (Destination, error) {
	if err := ctx.Err(); err != nil {
		return nil, &fault.Error{Kind: fault.Canceled, Op: opOpen, Err: err}
	}
	l, err := Parse(uri)
	if err != nil {
		return nil, err
	}
	if o, err = o.defaults(); err != nil {
		return nil, err
	}
	o.scheme = l.Scheme
	d, err := openBackend(ctx, l, o)
	if err != nil {
		return nil, err
	}
	return decorate(d, l, o), nil
}

// openBackend returns the bare backend of a location. o has its defaults.
func openBackend(ctx context.Context, l Location, o Options) (Destination, error) {
	if o.Retention > 0 && l.Scheme != S3 && l.Scheme != MinIO {
		return nil, fault.New(fault.Usage, opOpen, "%s:// knows no retention", l.Scheme).
			WithHint("leave the retention away, or back up to a bucket of S3 or MinIO with object lock")
	}
	switch l.Scheme {
	case S3, MinIO:
		return openS3(ctx, l, o)
	case GS:
		return openGCS(ctx, l, o)
	case AzBlob:
		return openAzure(ctx, l, o)
	}
	return newDir(l.Prefix), nil
}
