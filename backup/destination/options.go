package destination

import (
	"time"

	"github.com/brockdb/brock/backup/fault"
)

// Options say how to reach a destination. The zero value is good; a directory
// uses none of them but MaxBandwidth.
type Options struct {
	// Credentials of this request. The zero value means those of the environment.
	Credentials Credentials

	// S3CACert is a PEM file of certificate authorities that s3 and minio trust
	// besides the system's.
	S3CACert string

	// UploadConcurrency is how many parts of objects are sent at the same time to
	// an object store; 0 means 4. PartBytes is the size of a part; 0 means 8 MiB.
	// Memory is at most (open writers + UploadConcurrency) x PartBytes.
	UploadConcurrency int
	PartBytes         int64

	// MaxBandwidth is the most bytes per second, in each direction; 0 means no
	// limit. Bandwidth, when it is set, takes its place: destinations that are
	// given the same one share it.
	MaxBandwidth int64
	Bandwidth    *Bandwidth `json:"-"`

	// RequestTimeout is how long an object store may take to answer a request
	// once it has been sent; 0 means two minutes. StallTimeout is how long a
	// connection may move no byte of an object; 0 means 30 s.
	RequestTimeout time.Duration
	StallTimeout   time.Duration

	// Retry says how often a request is made again that failed for a passing reason.
	Retry Retry

	// Observer is told what is done at the destination; nil means nobody is.
	Observer Observer `json:"-"`

	// Retention locks every new object of a backup for that long against removal
	// and overwriting, where the bucket supports it; 0 means not at all.
	Retention     time.Duration
	RetentionMode RetentionMode // "" means Governance

	// Warn is told what works and should not stay so, such as credentials that
	// are sent without encryption. nil means nobody is.
	Warn func(message string) `json:"-"`

	scheme Scheme // of what is opened
}

// RetentionMode says who may shorten a retention.
type RetentionMode string

// The modes of S3's object lock.
const (
	Governance RetentionMode = "governance" // whoever has a special permission
	Compliance RetentionMode = "compliance" // nobody
)

// Defaults and limits of Options. S3 takes parts from 5 MiB to 5 GiB.
const (
	defaultUploadConcurrency = 4
	maxUploadConcurrency     = 256
	defaultPartBytes         = 8 << 20
	minPartBytes             = 5 << 20
	maxPartBytes             = 1 << 30
	defaultRequestTimeout    = 2 * time.Minute
	defaultStallTimeout      = 30 * time.Second
	maxRetention             = 100 * 365 * 24 * time.Hour
)

// defaults returns o with its zero fields set, or says which field is wrong.
func (o Options) defaults() (Options, error) {
	if o.UploadConcurrency == 0 {
		o.UploadConcurrency = defaultUploadConcurrency
	}
	if o.PartBytes == 0 {
		o.PartBytes = defaultPartBytes
	}
	if o.RequestTimeout == 0 {
		o.RequestTimeout = defaultRequestTimeout
	}
	if o.StallTimeout == 0 {
		o.StallTimeout = defaultStallTimeout
	}
	if o.Retention > 0 && o.RetentionMode == "" {
		o.RetentionMode = Governance
	}
	if o.Warn == nil {
		o.Warn = func(string) {}
	}
	if o.Bandwidth == nil && o.MaxBandwidth > 0 {
		shared, err := NewBandwidth(o.MaxBandwidth)
		if err != nil {
			return o, err
		}
		o.Bandwidth = shared
	}
	return o, o.check()
}

func (o *Options) check() error {
	refuse := func(cause string, args ...any) error { return fault.New(fault.Usage, opOpen, cause, args...) }
	switch {
	case o.UploadConcurrency < 1 || o.UploadConcurrency > maxUploadConcurrency:
		return refuse("the upload concurrency %d is not from 1 to %d", o.UploadConcurrency, maxUploadConcurrency)
	case o.PartBytes < minPartBytes || o.PartBytes > maxPartBytes:
		return refuse("parts of %d bytes are not from 5 MiB to 1 GiB", o.PartBytes)
	case o.MaxBandwidth < 0:
		return refuse("the bandwidth %d is negative", o.MaxBandwidth)
	case o.RequestTimeout < 0 || o.StallTimeout < 0:
		return refuse("a timeout is negative")
	case o.Retention < 0 || o.Retention > maxRetention:
		return refuse("the retention %v is not from 0 to 100 years", o.Retention)
	case o.RetentionMode != "" && o.RetentionMode != Governance && o.RetentionMode != Compliance:
		return refuse("the retention mode is neither governance nor compliance")
	case o.Retention == 0 && o.RetentionMode != "":
		return refuse("a retention mode is given and no retention")
	}
	return nil
}
