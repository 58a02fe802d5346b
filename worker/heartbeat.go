package worker

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/golang/glog"

	"github.com/brockdb/brock/backup/fault"
)

// heartbeat tells a monitor that a backup succeeded: one that hears nothing for
// too long raises the alarm, also when this machine is gone. The URL is a secret
// of its own, so only its host is ever shown.
type heartbeat struct {
	url    *url.URL
	client *http.Client
	pause  time.Duration // after the first failure, twice as long after the second
}

const (
	heartbeatTimeout = 10 * time.Second
	heartbeatTries   = 3
)

// newHeartbeat returns nil for no URL.
func newHeartbeat(text string) (*heartbeat, error) {
	if text == "" {
		return nil, nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fault.New(fault.Usage, "use heartbeat URL", "it is no http or https URL")
	}
	return &heartbeat{url: u, client: &http.Client{Timeout: heartbeatTimeout}, pause: time.Second}, nil
}

// String shows what is no secret.
func (h *heartbeat) String() string { return h.url.Scheme + "://" + h.url.Host }

// send tries a few times. What fails is logged: the backup has succeeded.
func (h *heartbeat) send(ctx context.Context) {
	var err error
	for try := range heartbeatTries {
		if try > 0 {
			select {
			case <-time.After(h.pause << (try - 1)):
			case <-ctx.Done():
				return
			}
		}
		if err = h.try(ctx); err == nil || ctx.Err() != nil {
			return
		}
	}
	glog.Errorf("%v", fault.Wrap(err, "tell %s of the backup", h))
}

func (h *heartbeat) try(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.url.String(), nil)
	if err != nil {
		return errors.New("the URL cannot be used")
	}
	req.Header.Set("User-Agent", "brock")
	res, err := h.client.Do(req)
	if err != nil {
		var withURL *url.Error // whose text repeats the URL
		if errors.As(err, &withURL) {
			err = withURL.Err
		}
		return err
	}
	if err := res.Body.Close(); err != nil {
		return err
	}
	if res.StatusCode >= 300 {
		return fmt.Errorf("it answers with status %d", res.StatusCode)
	}
	return nil
}
