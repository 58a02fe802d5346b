package vault

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/hashicorp/vault/api"

	"github.com/brockdb/brock/backup/fault"
)

// step is what failed on the way to a key.
type step string

const (
	stepAddress    step = "address"
	stepTLS        step = "TLS"
	stepSeal       step = "seal"
	stepLogin      step = "login"
	stepPermission step = "permission"
	stepPath       step = "path"
	stepField      step = "field"
	stepFormat     step = "format"
	stepSize       step = "size"
)

// stepError is an error with the step that failed.
type stepError struct {
	step  step
	retry bool // it may be better in a while
	kind  fault.Kind
	cause error
	hint  string
}

func (e *stepError) Error() string { return "step " + string(e.step) + ": " + e.cause.Error() }
func (e *stepError) Unwrap() error { return e.cause }

func failed(s step, kind fault.Kind, hint, format string, args ...any) *stepError {
	return &stepError{step: s, kind: kind, cause: fmt.Errorf(format, args...), hint: hint}
}

func later(s step, hint, format string, args ...any) *stepError {
	e := failed(s, fault.Other, hint, format, args...)
	e.retry = true
	return e
}

// classify says which step an error of Vault's client came from. during is the
// step that was tried.
func classify(err error, during step) error {
	var known *stepError
	var answer *api.ResponseError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return known
	case errors.As(err, &answer):
		return classifyAnswer(answer, during)
	case errors.Is(err, context.Canceled):
		return fault.New(fault.Canceled, "wait for Vault", "%w", context.Canceled)
	case isTLS(err):
		return failed(stepTLS, fault.Other, "check --vault_ca_cert (VAULT_CACERT), --vault_server_name and the certificate of Vault", "%w", bare(err))
	}
	return later(stepAddress, "check the address, and that Vault runs there", "it cannot be reached: %w", bare(err))
}

func classifyAnswer(r *api.ResponseError, during step) error {
	text := "it answers " + fmt.Sprint(r.StatusCode)
	if said := strings.Join(r.Errors, "; "); said != "" && !r.RawError {
		text += fmt.Sprintf(": %.300s", strings.Join(strings.Fields(said), " "))
	}
	switch code := r.StatusCode; {
	case code == http.StatusServiceUnavailable:
		return later(stepSeal, "unseal Vault", "it is sealed or not initialized: %s", text)
	case code >= 500 || code == http.StatusTooManyRequests || code == 472 || code == 473:
		return later(stepAddress, "look at Vault's log", "%s", text)
	case code == http.StatusBadRequest && r.RawError:
		return failed(stepTLS, fault.Other, "use an https address if Vault serves TLS there", "%s", text)
	case during == stepLogin && (code == http.StatusBadRequest || code == http.StatusForbidden || code == http.StatusNotFound):
		return failed(stepLogin, fault.Denied, "check role id, secret id or token, and where the login method is mounted (--vault_auth_mount)", "%s", text)
	case code == http.StatusForbidden:
		return failed(stepPermission, fault.Denied,
			"give the token a policy that may read the path; a key/value engine of version 2 has data in it: secret/data/brock", "%s", text)
	case code == http.StatusNotFound:
		return failed(stepPath, fault.NotFound, pathHint, "%s", text)
	}
	return failed(during, fault.Other, "", "%s", text)
}

const pathHint = "check --vault_path: secret/data/brock in a key/value engine of version 2, kv/brock in one of version 1"

func isTLS(err error) bool {
	var (
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		invalid   x509.CertificateInvalidError
		verify    *tls.CertificateVerificationError
		record    tls.RecordHeaderError
		alert     tls.AlertError
	)
	return errors.As(err, &authority) || errors.As(err, &host) || errors.As(err, &invalid) || errors.As(err, &verify) ||
		errors.As(err, &record) || errors.As(err, &alert) || errors.Is(err, http.ErrSchemeMismatch) ||
		strings.Contains(err.Error(), "tls: ")
}

// bare leaves out what surrounds the cause of a failed request: its URL and the
// advice of Vault's client.
func bare(err error) error {
	var request *url.Error
	if errors.As(err, &request) {
		return request.Err
	}
	return err
}
