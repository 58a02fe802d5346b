package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
)

// storageFlags are the flags that say how destinations are reached. They are
// the same for every command that takes a URI.
type storageFlags struct {
	caCert         string
	anonymous      bool
	concurrency    uint16
	bandwidth      byteRate
	requestTimeout time.Duration
	stallTimeout   time.Duration
	retention      days
	retentionMode  choice
}

// add adds the flags of a command that reads and writes.
func (s *storageFlags) add(cmd *cobra.Command) {
	s.addReading(cmd)
	flags := cmd.Flags()
	flags.Uint16Var(&s.concurrency, "upload_concurrency", 4, "`N` parts of objects that are sent to an object store at a time")
	flags.Var(&s.retention, "retention",
		"`TIME` for which new backups cannot be removed or changed, such as 30d; the bucket must have object lock")
	addChoice(cmd, &s.retentionMode, "retention_mode", "who may end a retention early: whoever has a permission for that, or nobody",
		string(destination.Governance), string(destination.Compliance))
	completeNothing(cmd, "upload_concurrency", "retention")
}

// addReading adds the flags of a command that only reads.
func (s *storageFlags) addReading(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&s.caCert, "s3_ca_cert", "", "`FILE` with PEM certificates of authorities that s3 and minio trust besides the system's")
	flags.BoolVar(&s.anonymous, "anonymous", false, "send no credentials to object stores, not even those of the environment")
	flags.Var(&s.bandwidth, "max_bandwidth", "`BYTES` per second, in each direction, such as 50MB; 0 means no limit")
	flags.DurationVar(&s.requestTimeout, "request_timeout", 2*time.Minute, "`TIME` an object store may take to answer a request")
	flags.DurationVar(&s.stallTimeout, "stall_timeout", 30*time.Second, "`TIME` a connection may move no byte before it is given up")
	completeNothing(cmd, "max_bandwidth", "request_timeout", "stall_timeout")
}

// options returns what the flags say. Zeros that the packages below would take
// for their default are refused; other values are checked where they are used.
func (s *storageFlags) options() (destination.Options, error) {
	for flag, value := range map[string]time.Duration{"request_timeout": s.requestTimeout, "stall_timeout": s.stallTimeout} {
		if value <= 0 {
			return destination.Options{}, fault.New(fault.Usage, "use flag --"+flag, "%v is not above 0", value)
		}
	}
	o := destination.Options{
		Credentials: destination.Credentials{Anonymous: s.anonymous},
		S3CACert:    s.caCert, UploadConcurrency: int(s.concurrency), MaxBandwidth: int64(s.bandwidth),
		RequestTimeout: s.requestTimeout, StallTimeout: s.stallTimeout, Retention: time.Duration(s.retention),
	}
	if o.Retention > 0 {
		o.RetentionMode = destination.RetentionMode(s.retentionMode.value)
	}
	return o, nil
}

// open opens the destination that a command is given, which warns on its stderr.
func (s *storageFlags) open(ctx context.Context, cmd *cobra.Command, uri string) (destination.Destination, error) {
	return s.openAs(ctx, cmd, uri, credentialFlags{})
}

// openAs is open with credentials of its own, where some are given.
func (s *storageFlags) openAs(ctx context.Context, cmd *cobra.Command, uri string, own credentialFlags) (destination.Destination, error) {
	o, err := s.options()
	if err != nil {
		return nil, err
	}
	if own != (credentialFlags{}) {
		o.Credentials = own.credentials()
	}
	o.Warn = func(message string) { say(cmd.ErrOrStderr(), "warning: %s\n", message) }
	return destination.Open(ctx, uri, o)
}

// byteRate is a flag of bytes per second, with or without a unit.
type byteRate int64

// String returns the number of bytes, "0" for no limit.
func (r *byteRate) String() string { return strconv.FormatInt(int64(*r), 10) }

// Type returns the word for help without a placeholder of its own.
func (r *byteRate) Type() string { return "bytes" }

// Set reads 1000, 50MB or 16MiB.
func (r *byteRate) Set(text string) error {
	n, err := humanize.ParseBytes(text)
	if err != nil || n > 1<<62 {
		return fmt.Errorf("%q is no number of bytes such as 50MB or 16MiB", text)
	}
	*r = byteRate(n)
	return nil
}

// days is a flag of a duration that may be given in days.
type days time.Duration

const day = 24 * time.Hour

// String returns "30d" where that is exact, "" for 0.
func (d *days) String() string {
	switch t := time.Duration(*d); {
	case t == 0:
		return ""
	case t%day == 0:
		return strconv.FormatInt(int64(t/day), 10) + "d"
	default:
		return t.String()
	}
}

// Type returns the word for help without a placeholder of its own.
func (d *days) Type() string { return "time" }

// Set reads 30d or what time.ParseDuration does.
func (d *days) Set(text string) error {
	const mostDays = 36_500 // far from where a Duration overflows
	t, err := time.ParseDuration(text)
	if number, ok := strings.CutSuffix(text, "d"); ok {
		var n uint64
		n, err = strconv.ParseUint(number, 10, 32)
		if n > mostDays {
			return fmt.Errorf("%q is more than 100 years", text)
		}
		t = time.Duration(n) * day
	}
	if err != nil || t < 0 {
		return fmt.Errorf("%q is no time such as 30d or 12h", text)
	}
	*d = days(t)
	return nil
}
