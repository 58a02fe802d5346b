package client

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/brockdb/brock/backup/fault"
)

// Dumped is what a dump wrote.
type Dumped struct {
	Records int64
	Bytes   int64
	ReadTs  uint64 // the commit that the dump shows
}

// Dump writes a collection to w as lines of {"key": …, "value": …}, in the order
// of the keys' bytes, as of one commit; namespace "" is the default one. On an
// error w may hold a part of it.
func (c *Client) Dump(ctx context.Context, namespace, collection string, w io.Writer) (*Dumped, error) {
	op := "dump collection " + collection
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url("/dump", target(namespace, collection)), nil)
	if err != nil {
		return nil, fault.Wrap(err, "%s", op)
	}
	res, err := c.do(req)
	if err != nil {
		return nil, fault.Wrap(err, "%s", op)
	}
	defer res.Body.Close() // only read
	if res.StatusCode != http.StatusOK {
		return nil, responseError(op, res)
	}
	dumped := new(Dumped)
	if dumped.ReadTs, err = strconv.ParseUint(res.Header.Get("X-Brock-Read-Ts"), 10, 64); err != nil {
		return nil, fault.New(fault.Other, op, "the answer of %s is no dump", c).
			WithHint("is this the address of a brock alpha?")
	}
	out := &counting{w: w}
	if _, err = io.Copy(out, res.Body); err != nil {
		switch {
		case out.err != nil:
			err = out.err
		case ctx.Err() != nil:
			err = fault.New(fault.Canceled, "finish the transfer", "%w", context.Cause(ctx))
		default:
			err = fault.New(fault.Other, "finish the transfer", "it broke off after %d bytes: %w", out.bytes, err).
				WithHint("what was written is a part; the alpha's log says why, if it still runs")
		}
		return nil, fault.Wrap(err, "%s", op)
	}
	dumped.Records, dumped.Bytes = out.lines, out.bytes
	return dumped, nil
}

// counting counts bytes and lines, and remembers whose error it was.
type counting struct {
	w            io.Writer
	bytes, lines int64
	err          error
}

func (c *counting) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.bytes += int64(n)
	c.lines += int64(bytes.Count(p[:n], []byte{'\n'}))
	if err != nil {
		c.err = fmt.Errorf("write: %w", err)
	}
	return n, err
}
