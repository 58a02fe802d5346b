package metrics

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/brockdb/brock/backup/destination"
)

// storage counts what is done at destinations.
type storage struct {
	operations *prometheus.CounterVec
	duration   *prometheus.HistogramVec
	bytes      *prometheus.CounterVec
	requests   *prometheus.CounterVec
	retries    *prometheus.CounterVec
}

func newStorage() storage {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "brock_storage_" + name, Help: help}, labels)
	}
	return storage{
		operations: counter("operations_total", "Calls of a destination as a backup or restore sees them, retries included.", "provider", "op", "outcome"),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "brock_storage_operation_duration_seconds",
			Help:    "What calls of a destination took.",
			Buckets: []float64{0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10, 60, 600}}, []string{"provider", "op"}),
		bytes:    counter("bytes_total", "Bytes of objects that were read or written.", "provider", "direction"),
		requests: counter("requests_total", "HTTP requests to object stores by the class of their status: 2xx, or none without an answer.", "provider", "op", "status"),
		retries:  counter("retries_total", "HTTP requests to object stores that were made again.", "provider"),
	}
}

func (s *storage) all() []prometheus.Collector {
	return []prometheus.Collector{s.operations, s.duration, s.bytes, s.requests, s.retries}
}

var _ destination.Observer = (*Metrics)(nil)

func provider(name string) string { return oneOf(name, "file", "s3", "minio", "gs", "azblob") }

// Call implements destination.Observer.
func (m *Metrics) Call(c destination.Call) {
	p := provider(c.Provider)
	op := oneOf(c.Op, "create", "write", "commit", "abort", "open", "read", "stat", "list", "remove", "debris")
	m.storage.operations.WithLabelValues(p, op, outcome(c.Err)).Inc()
	m.storage.duration.WithLabelValues(p, op).Observe(c.Duration.Seconds())
	switch c.Op {
	case "write":
		m.storage.bytes.WithLabelValues(p, "written").Add(float64(c.Bytes))
	case "read":
		m.storage.bytes.WithLabelValues(p, "read").Add(float64(c.Bytes))
	}
}

// Request implements destination.Observer.
func (m *Metrics) Request(r destination.Request) {
	p := provider(r.Provider)
	status := "none"
	if class := r.Status / 100; class >= 1 && class <= 5 {
		status = strconv.Itoa(class) + "xx"
	}
	m.storage.requests.WithLabelValues(p, oneOf(r.Op, "GET", "HEAD", "LIST", "PUT", "POST", "DELETE"), status).Inc()
	if r.Retries > 0 {
		m.storage.retries.WithLabelValues(p).Inc()
	}
}
