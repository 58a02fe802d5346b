package metrics

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// requests counts what was answered over HTTP.
type requests struct {
	total    *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

func newRequests() requests {
	return requests{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "brock_http_requests_total",
			Help: "Requests that were answered, by path, method and status."}, []string{"path", "method", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "brock_http_request_duration_seconds",
			Help:    "What requests took, their transfers included.",
			Buckets: []float64{0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10, 60, 600}}, []string{"path"}),
	}
}

func (r *requests) all() []prometheus.Collector { return []prometheus.Collector{r.total, r.duration} }

// HTTP counts a request. path is one of the server's, never what a client sent.
func (m *Metrics) HTTP(path, method string, status int, took time.Duration) {
	if m == nil {
		return
	}
	method = oneOf(method, http.MethodGet, http.MethodPost, http.MethodHead, http.MethodOptions)
	m.http.total.WithLabelValues(path, method, strconv.Itoa(status)).Inc()
	m.http.duration.WithLabelValues(path).Observe(took.Seconds())
}
