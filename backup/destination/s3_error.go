package destination

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/minio/minio-go/v7"

	"github.com/brockdb/brock/backup/fault"
)

// RetainedError is why an object cannot be removed: a lock that nobody, or
// nobody but the holder of a special permission, can open before its time.
type RetainedError struct{ Until time.Time }

// Error says until when.
func (e *RetainedError) Error() string { return "it is retained until " + stampText(e.Until) }

func (s *s3Store) retained(verb, name string, until time.Time) error {
	return &fault.Error{
		Kind: fault.Denied, Op: s.op(verb, name), Err: &RetainedError{until},
		Hint: "wait until then; in mode governance, whoever has s3:BypassGovernanceRetention can end it sooner",
	}
}

// fail turns an error of minio-go into a *fault.Error about one object. action
// is the permission that was needed. It returns nil when err is nil.
func (s *s3Store) fail(ctx context.Context, verb, name, action string, err error) error {
	if err == nil {
		return nil
	}
	e := &fault.Error{Op: s.op(verb, name)}
	var known *fault.Error
	var answer minio.ErrorResponse
	switch {
	case ctx.Err() != nil:
		e.Kind, e.Err = fault.Canceled, context.Cause(ctx)
	case errors.As(err, &known):
		e.Kind, e.Err, e.Hint = fault.KindOf(err), known, fault.HintOf(err)
	case errors.As(err, &answer) && answer.Code != "":
		s.classify(e, answer, action)
	default:
		classifyNetwork(e, err)
	}
	return e
}

// classify sets kind, cause and hint of an error that the server answered.
func (s *s3Store) classify(e *fault.Error, answer minio.ErrorResponse, action string) {
	e.Err = fmt.Errorf("%s (%s)", printable(answer.Error()), printable(answer.Code))
	if isLockRefusal(answer) {
		e.Kind, e.Hint = fault.Denied, "the object is locked for some time: see the retention of the bucket"
		return
	}
	switch kindOfCode(answer.Code) {
	case codeMissing:
		e.Kind = fault.NotFound
	case codeNoBucket:
		e.Kind, e.Err = fault.NotFound, fmt.Errorf("there is no bucket %s at %s", s.location.Bucket, s.location.Host)
		e.Hint = "create the bucket; brock does not"
	case codeExists:
		e.Kind = fault.Exists
	case codeSwept:
		e.Err = errSwept
	case codeFull:
		e.Kind, e.Hint = fault.NoSpace, "raise the quota, free space at the server, or prune old backups there"
	case codeDenied:
		s.denied(e, answer, action)
	case codeNoLock:
		e.Kind = fault.Usage
		e.Hint = "the bucket has no object lock: leave --retention away, or use a bucket that was made with object lock"
	case codePassing:
		e.Kind, e.Hint = fault.Unavailable, "the server is busy or failed: see its log, then start again"
	default:
		switch status := answer.StatusCode; {
		case status == http.StatusUnauthorized || status == http.StatusForbidden:
			s.denied(e, answer, action)
		case status == http.StatusPreconditionFailed:
			e.Kind = fault.Exists
		case status == http.StatusNotFound:
			e.Kind = fault.NotFound
		case status == http.StatusInsufficientStorage:
			e.Kind = fault.NoSpace
		case status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout:
			e.Kind = fault.Unavailable
		}
	}
}

// denied names who may not do what, and where.
func (s *s3Store) denied(e *fault.Error, answer minio.ErrorResponse, action string) {
	e.Kind = fault.Denied
	who := s.identity.String()
	switch answer.Code {
	case "InvalidAccessKeyId", "InvalidClientTokenId":
		e.Err = fmt.Errorf("%s does not know %s (%s)", s.location.Host, who, answer.Code)
		e.Hint = "check the access key"
	case "SignatureDoesNotMatch", "AuthorizationHeaderMalformed":
		e.Err = fmt.Errorf("the secret key of %s is wrong (%s: %s)", who, answer.Code, printable(answer.Error()))
		e.Hint = "check the secret key"
	case "ExpiredToken", "ExpiredTokenException", "InvalidToken", "InvalidTokenId", "TokenRefreshRequired":
		e.Err = fmt.Errorf("the session token of %s is wrong or has expired (%s)", who, answer.Code)
		e.Hint = "get new temporary credentials"
	case "RequestTimeTooSkewed":
		e.Err = fmt.Errorf("%s and this machine do not agree on the time (%s)", s.location.Host, answer.Code)
		e.Hint = "set the clock"
	default:
		if action == "" {
			action = "do this"
		}
		e.Err = fmt.Errorf("%s may not %s in bucket %s (%s: %s)", who, action, s.location.Bucket, answer.Code, printable(answer.Error()))
		e.Hint = "grant that permission, see docs/providers.md for all that are needed"
	}
}

// codeKind is what a code of S3's answers comes to.
type codeKind uint8

const (
	codeOther codeKind = iota
	codeMissing
	codeNoBucket
	codeExists
	codeSwept
	codeFull
	codeDenied
	codeNoLock
	codePassing
)

func kindOfCode(code string) codeKind {
	switch code {
	case "NoSuchKey", "NoSuchVersion", "NoSuchObject", "MethodNotAllowed": // the last is a delete marker's
		return codeMissing
	case "NoSuchBucket":
		return codeNoBucket
	case "PreconditionFailed", "XMinioParentIsObject", "XMinioObjectExistsAsDirectory", "ObjectParentIsFile":
		return codeExists
	case "NoSuchUpload":
		return codeSwept
	case "XMinioAdminBucketQuotaExceeded", "QuotaExceeded", "XMinioStorageFull", "StorageFull", "InsufficientStorage":
		return codeFull
	case "AccessDenied", "AllAccessDisabled", "AccountProblem", "InvalidAccessKeyId", "InvalidClientTokenId", "SignatureDoesNotMatch",
		"AuthorizationHeaderMalformed", "ExpiredToken", "ExpiredTokenException", "InvalidToken", "InvalidTokenId", "TokenRefreshRequired",
		"RequestTimeTooSkewed", "Forbidden", "UnauthorizedAccess":
		return codeDenied
	case "ObjectLockConfigurationNotFoundError", "InvalidBucketObjectLockConfiguration", "NoSuchObjectLockConfiguration":
		return codeNoLock
	case "SlowDown", "SlowDownRead", "SlowDownWrite", "ServiceUnavailable", "InternalError", "RequestTimeout", "RequestTimeTooLong",
		"Throttling", "ThrottlingException", "RequestThrottled", "RequestLimitExceeded", "TooManyRequests", "XMinioServerNotInitialized",
		"OperationAborted", "ConditionalRequestConflict", "IncompleteBody",
		"ExistingObjectIsDirectory",                                                              // of versitygw, when a folder goes while an object is made in it
		"BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch", "InvalidDigest": // damaged on the way
		return codePassing
	}
	return codeOther
}

// isLockRefusal reports whether an object lock forbids something. MinIO answers
// 400, others 403.
func isLockRefusal(err error) bool {
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) {
		return false
	}
	text := strings.ToLower(answer.Message)
	return answer.Code == "ObjectLocked" || strings.Contains(text, "worm protected") || strings.Contains(text, "object lock") &&
		!strings.Contains(text, "configuration")
}

// classifyNetwork sets kind, cause and hint of an error without an answer: as a
// rule it passes.
func classifyNetwork(e *fault.Error, err error) {
	e.Kind, e.Err = fault.Unavailable, bareURL(err)
	var (
		unknown *x509.UnknownAuthorityError
		verify  *tls.CertificateVerificationError
		record  tls.RecordHeaderError
	)
	text := err.Error()
	switch {
	case errors.As(err, &verify) || errors.As(err, &unknown) || strings.Contains(text, "x509: "):
		e.Kind, e.Hint = fault.Usage, "give the authority's certificate with --s3_ca_cert"
	case errors.As(err, &record) || strings.Contains(text, "server gave HTTP response to HTTPS client"):
		e.Kind, e.Hint = fault.Usage, "the server speaks plain HTTP: add ?secure=false to the URI"
	case strings.Contains(text, "no such host"):
		e.Hint = "check the name of the host"
	}
}

// bareURL strips the URL that net/http puts in front of an error: its query
// says nothing, and the fault names the object.
func bareURL(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

// statusOf returns the HTTP status of an answer that is an error, or 0.
func statusOf(err error) int {
	var answer minio.ErrorResponse
	if errors.As(err, &answer) {
		return answer.StatusCode
	}
	return 0
}

// printable cuts a text of the server, which is hostile, to what fits in an error.
func printable(text string) string {
	const limit = 200
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + "…"
	}
	return strings.TrimSuffix(text, ".")
}
