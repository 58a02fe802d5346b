package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/brockdb/brock/backup/fault"
)

// Admin runs an operation at /admin and decodes its data into answer, a pointer
// to a struct with a field for each field asked for; nil drops the data. The
// variables encode as a JSON object; nil means that there are none. Package
// adminclient has a function for each operation of the schema.
func (c *Client) Admin(ctx context.Context, query string, variables, answer any) error {
	return c.graphQL(ctx, "/admin", query, variables, answer)
}

// Data runs an operation at /graphql, as Admin does at /admin.
func (c *Client) Data(ctx context.Context, query string, variables, answer any) error {
	return c.graphQL(ctx, "/graphql", query, variables, answer)
}

var errTooSlow = errors.New("there was no answer in the time that it was given")

func (c *Client) graphQL(ctx context.Context, path, query string, variables, answer any) error {
	op := "ask " + c.String() + path
	if c.options.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, c.options.Timeout, errTooSlow)
		defer cancel()
	}
	body, err := json.Marshal(struct {
		Query     string `json:"query"`
		Variables any    `json:"variables,omitempty"`
	}{query, variables})
	if err != nil {
		return fault.Wrap(err, "%s", op)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url(path, nil), bytes.NewReader(body))
	if err != nil {
		return fault.Wrap(err, "%s", op)
	}
	req.Header.Set("Content-Type", "application/json")
	if c.options.AuthToken != "" && path == "/admin" {
		req.Header.Set("X-Dgraph-AuthToken", c.options.AuthToken)
	}
	res, err := c.do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close() // only read
	if res.StatusCode != http.StatusOK {
		return responseError(op, res)
	}
	var reply struct {
		Data   json.RawMessage `json:"data"`
		Errors []remoteError   `json:"errors"`
	}
	if err := json.NewDecoder(res.Body).Decode(&reply); err != nil {
		return fault.New(fault.Other, op, "the answer is no GraphQL: %w", err).
			WithHint("is this the address of a brock alpha?")
	}
	if len(reply.Errors) > 0 {
		return reply.Errors[0].fault(op)
	}
	if answer == nil {
		return nil
	}
	return fault.Wrap(json.Unmarshal(reply.Data, answer), "decode the answer of %s", path)
}
