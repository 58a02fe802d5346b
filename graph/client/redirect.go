package client

import (
	"net/http"
	"net/url"

	"github.com/brockdb/brock/backup/fault"
)

// stay keeps a request at the alpha it is for. A redirect would take its tokens
// along: net/http leaves Authorization behind when it goes to another host, but
// not headers that it does not know.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// elsewhere is the error of an answer that sends the client to another place.
func (c *Client) elsewhere(res *http.Response) error {
	if res.StatusCode < 300 || res.StatusCode > 399 {
		return nil
	}
	defer res.Body.Close() // nothing of it is read
	op := "reach the alpha at " + c.String()
	e := fault.New(fault.Other, op, "it is no alpha that answers: status %d sends to another place", res.StatusCode)
	if to, err := res.Location(); err == nil {
		place := url.URL{Scheme: to.Scheme, Host: to.Host} // the rest may hold secrets
		return e.WithHint("tokens are not sent along a redirect; if %s is the alpha, give it as the address", place.String())
	}
	return e.WithHint("tokens are not sent along a redirect; give the address of the alpha itself")
}
