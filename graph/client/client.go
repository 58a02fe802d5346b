// Package client speaks to an alpha over HTTP: the streams of /load and /dump,
// and the GraphQL of /admin and /graphql.
package client

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/brockdb/brock/backup/fault"
)

// Client is a client of one alpha. It may be used by many goroutines.
type Client struct {
	base      url.URL
	options   Options
	transport *http.Transport
}

// Options of a Client. The zero value is good for an alpha without a token.
type Options struct {
	AuthToken   string // sent to /admin as X-Dgraph-AuthToken
	AccessToken string // of a login, sent everywhere as X-Dgraph-AccessToken

	TLS     *tls.Config   // of https; nil means the system's authorities and no certificate
	Timeout time.Duration // of one GraphQL operation; 0 means that of the context
}

const (
	dialTimeout = 10 * time.Second
	idleTimeout = 30 * time.Second // of a connection between two requests
)

// New returns a client of the alpha at the given URL, such as
// http://127.0.0.1:8080; without a scheme it is http. The error is of kind
// Usage and repeats nothing that could be a secret. No connection is made yet.
func New(alpha string, o Options) (*Client, error) {
	base, err := parseBase(alpha)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: dialTimeout}
	transport := &http.Transport{
		Proxy:             http.ProxyFromEnvironment,
		DialContext:       dialer.DialContext,
		TLSClientConfig:   o.TLS,
		ForceAttemptHTTP2: true,
		IdleConnTimeout:   idleTimeout,
		// Between processes of one host compressing costs more than it saves.
		DisableCompression: true,
	}
	return &Client{base: base, options: o, transport: transport}, nil
}

func parseBase(alpha string) (url.URL, error) {
	refused := func(cause string) (url.URL, error) {
		return url.URL{}, fault.New(fault.Usage, "use the alpha's address", "%s", cause).
			WithHint("give a URL such as http://127.0.0.1:8080, as brock alpha prints it")
	}
	text := alpha
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	base, err := url.Parse(text)
	switch {
	case err != nil:
		return refused("it is not a URL")
	case base.Scheme != "http" && base.Scheme != "https":
		return refused("its scheme is neither http nor https")
	case base.Hostname() == "":
		return refused("it has no host")
	case base.User != nil || base.RawQuery != "" || base.Fragment != "":
		return refused("it holds more than scheme, host, port and path")
	}
	base.Path = strings.TrimSuffix(base.Path, "/")
	return *base, nil
}

// String returns the alpha's URL.
func (c *Client) String() string { return c.base.String() }

// Close closes the connections that are kept for the next request.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// url returns the address of an endpoint.
func (c *Client) url(path string, query url.Values) string {
	u := c.base
	u.Path += path
	u.RawQuery = query.Encode()
	return u.String()
}

// do sends a request and explains what keeps it from being answered. The
// caller closes the body of the response.
func (c *Client) do(req *http.Request) (*http.Response, error) {
	return c.doOver(c.transport, req)
}

func (c *Client) doOver(transport *http.Transport, req *http.Request) (*http.Response, error) {
	if c.options.AccessToken != "" {
		req.Header.Set("X-Dgraph-AccessToken", c.options.AccessToken)
	}
	res, err := (&http.Client{Transport: transport, CheckRedirect: stay}).Do(req)
	if err == nil {
		if err := c.elsewhere(res); err != nil {
			return nil, err
		}
		return res, nil
	}
	ctx := req.Context()
	if errors.Is(context.Cause(ctx), errTooSlow) {
		return nil, fault.New(fault.Other, "reach the alpha at "+c.String(), "%w", errTooSlow).
			WithHint("it may be busy, and what was asked for may be done all the same; give it more time (--timeout)")
	}
	if ctx.Err() != nil {
		return nil, fault.New(fault.Canceled, "reach the alpha at "+c.String(), "%w", context.Cause(ctx))
	}
	if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
		err = wrapped.Err // its text repeats the URL
	}
	return nil, fault.New(fault.Other, "reach the alpha at "+c.String(), "%w", err).
		WithHint("is it running, and is this its address? brock alpha prints it")
}

// target names a collection of an alpha in a URL.
func target(namespace, collection string) url.Values {
	values := url.Values{"collection": {collection}}
	if namespace != "" {
		values.Set("namespace", namespace)
	}
	return values
}
