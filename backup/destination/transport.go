package destination

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/brockdb/brock/backup/fault"
)

// newTransport returns what an object store is spoken to through. caFile names
// a PEM file of authorities to trust besides the system's; "" means none. o has
// its defaults.
func newTransport(o Options, caFile string) (http.RoundTripper, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile != "" {
		roots, err := trusted(caFile)
		if err != nil {
			return nil, err
		}
		config.RootCAs = roots
	}
	return decorateTransport(&http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: o.RequestTimeout,
		ExpectContinueTimeout: time.Second,
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       time.Minute,
		WriteBufferSize:       64 << 10,
		ReadBufferSize:        64 << 10,
		// What is stored is what is read: a proxy must not unpack it.
		DisableCompression: true,
		TLSClientConfig:    config,
	}, o), nil
}

// trusted returns the system's authorities and those of a PEM file.
func trusted(file string) (*x509.CertPool, error) {
	op := "read CA certificates " + file
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, &fault.Error{Kind: fault.Usage, Op: op, Err: bare(err)}
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, &fault.Error{Kind: fault.Usage, Op: op, Err: errors.New("it has no PEM certificate")}
	}
	return roots, nil
}
