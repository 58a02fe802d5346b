package vault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/ee"
)

// Client is a Vault that one is logged in to. Many goroutines may use it. It
// prints nothing of its token.
type Client struct {
	options Options
	api     *api.Client
	address string
	lease   lease // at Open

	mu       sync.Mutex // held while logging in
	owned    bool       // the token was made for this client
	doubtful bool       // the token may not ask about itself, or is not good
}

// Open logs in. A Vault that is sealed or down is waited for, for o.Timeout; the
// error then, as any other, says which step failed.
func Open(ctx context.Context, o Options) (*Client, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.Notify == nil {
		o.Notify = func(string, error) {}
	}
	c := &Client{options: o, address: o.Address}
	if err := c.connect(); err != nil {
		return nil, c.fail(err)
	}
	err := c.patiently(ctx, func(ctx context.Context) (err error) {
		c.lease, err = c.login(ctx)
		return err
	})
	if err != nil {
		return nil, c.fail(err)
	}
	return c, nil
}

// connect makes Vault's client. Nothing is sent yet.
func (c *Client) connect() error {
	o := &c.options
	config := api.DefaultConfig()
	if config.Error != nil {
		return failed(stepTLS, fault.Usage, "check the environment: VAULT_CACERT, VAULT_CLIENT_CERT, VAULT_CLIENT_KEY…", "%w", config.Error)
	}
	switch {
	case o.Address != "":
		config.Address, config.AgentAddress = o.Address, ""
	case config.AgentAddress != "":
		c.address = config.AgentAddress
	default:
		c.address = config.Address
	}
	if err := checkAddress(c.address); err != nil {
		c.address = "" // it may hold a password
		return failed(stepAddress, fault.Usage, "", "%w", err)
	}
	if o.CACert != "" || o.ClientCert != "" || o.ServerName != "" {
		err := config.ConfigureTLS(&api.TLSConfig{CACert: o.CACert, ClientCert: o.ClientCert, ClientKey: o.ClientKey, TLSServerName: o.ServerName})
		if err != nil {
			return failed(stepTLS, fault.Usage, "check --vault_ca_cert, --vault_client_cert and --vault_client_key", "%w", err)
		}
	}
	config.MaxRetries, config.Logger = 0, nil // what is tried again is decided here
	config.DisableRedirects = true
	client, err := api.NewClient(config)
	if err != nil {
		return failed(stepAddress, fault.Usage, "", "%w", err)
	}
	config.HttpClient.Transport = &guard{config.HttpClient.Transport} // only now: NewClient looks into it
	if o.Foreign {
		client.ClearToken()
		client.ClearNamespace()
		client.SetHeaders(http.Header{api.RequestHeaderName: {"true"}})
	}
	if o.LogsIn() {
		client.ClearToken()
	}
	if o.Namespace != "" {
		client.SetNamespace(o.Namespace)
	}
	c.api = client
	return nil
}

// guard keeps the token at the address that was named, and bounds answers.
type guard struct{ next http.RoundTripper }

// maxAnswer is far above what Vault answers with a secret of some bytes.
const maxAnswer = 8 << 20

func (g *guard) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := g.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode >= 300 && answer.StatusCode < 400 {
		_ = answer.Body.Close() // only read
		return nil, failed(stepAddress, fault.Denied, "name the address of the active node itself; a token is not sent where an answer points",
			"it answers with a redirect (%d)", answer.StatusCode)
	}
	answer.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(answer.Body, maxAnswer), answer.Body}
	return answer, nil
}

// Address returns where Vault is.
func (c *Client) Address() string { return c.address }

// String returns where Vault is.
func (c *Client) String() string { return "Vault at " + c.address }

// GoString is String.
func (c *Client) GoString() string { return c.String() }

// Format writes String for every verb.
func (c *Client) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// Keep keeps the client logged in until ctx is done.
func (c *Client) Keep(ctx context.Context) {
	keep(ctx, c, c.lease, func(event string, err error) {
		if err != nil {
			err = c.fail(err)
		}
		c.options.Notify(event, err)
	})
}

// Close revokes a token that was made for this client, as far as that is
// possible in a moment: it ends by itself.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.owned {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		_ = c.api.Auth().Token().RevokeSelfWithContext(ctx, "")
		c.owned = false
	}
	c.api.ClearToken()
}

// Keys returns the keys that a secret holds: one for each version that is
// named, else that of the newest.
func (c *Client) Keys(ctx context.Context, s Secret) (ee.KeyRing, error) {
	s = s.withDefaults()
	if err := s.check(); err != nil {
		return ee.KeyRing{}, err
	}
	versions := s.Versions
	if len(versions) == 0 {
		versions = []uint{0}
	}
	var keys []ee.Key
	for _, version := range versions {
		var key ee.Key
		err := c.patiently(ctx, func(ctx context.Context) (err error) {
			key, err = c.key(ctx, s, version)
			return err
		})
		if err != nil {
			return ee.KeyRing{}, c.fail(err)
		}
		keys = append(keys, key)
	}
	return ee.NewKeyRing(keys...), nil
}

// patiently tries until it succeeds or waiting does not help, at most for the
// timeout.
func (c *Client) patiently(ctx context.Context, try func(context.Context) error) error {
	limit, cancel := context.WithTimeout(ctx, c.options.Timeout)
	defer cancel()
	const most = 5 * time.Second
	var last error
	for wait := 200 * time.Millisecond; ; wait = min(2*wait, most) {
		err := try(limit)
		var known *stepError
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fault.New(fault.Canceled, "wait for Vault", "%w", context.Cause(ctx))
		case !errors.As(err, &known) || !known.retry:
			return err
		}
		if last == nil {
			c.options.Notify("waiting for it", c.fail(err))
		}
		if limit.Err() == nil || last == nil {
			last = err
		}
		if !pause(limit, wait) && ctx.Err() == nil {
			e := *known
			errors.As(last, &known)
			e.step, e.cause, e.hint = known.step, fmt.Errorf("%w (waited for %v)", known.cause, c.options.Timeout), known.hint
			return &e
		}
	}
}

func hintOf(err error) string {
	var known *stepError
	if errors.As(err, &known) {
		return known.hint
	}
	return fault.HintOf(err)
}

// fail makes an error of a step one for operators.
func (c *Client) fail(err error) error {
	op := "take a key from Vault"
	if c.address != "" {
		op += " at " + c.address
	}
	var known *stepError
	if !errors.As(err, &known) {
		return fault.Wrap(err, "%s", op)
	}
	e := &fault.Error{Kind: known.kind, Op: op, Err: err}
	if hint := hintOf(err); hint != "" {
		e = e.WithHint("%s", hint)
	}
	return e
}
