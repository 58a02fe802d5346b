// Package metrics counts what a node does, for Prometheus. Its names are a
// contract with dashboards and alerts: docs/metrics.md lists them. Labels have
// few values, none of which a client chooses, so that nobody can fill the memory
// of whoever collects them.
package metrics

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/brockdb/brock/backup/fault"
)

// Metrics are those of one process, in a registry of their own. Its methods may
// be called from many goroutines; a nil Metrics counts nothing.
type Metrics struct {
	registry *prometheus.Registry
	node     atomic.Pointer[func() State]

	backups backups
	tasks   tasks
	storage storage
	http    requests
}

// New returns metrics that have counted nothing.
func New(version string) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	m.backups, m.tasks, m.storage, m.http = newBackups(), newTasks(), newStorage(), newRequests()
	build := prometheus.NewGauge(prometheus.GaugeOpts{Name: "brock_build_info", Help: "1, with the versions of brock and Go.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()}})
	build.Set(1)
	m.registry.MustRegister(build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		badgerCollector{}, stateCollector{m})
	for _, group := range [][]prometheus.Collector{m.backups.all(), m.tasks.all(), m.storage.all(), m.http.all()} {
		m.registry.MustRegister(group...)
	}
	return m
}

// Handler answers with all metrics as text.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 30 * time.Second})
}

// Register adds a number that is asked for when metrics are collected.
func (m *Metrics) Register(name, help string, value func() float64) {
	if m != nil {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
}

// outcome is the label of an error: "ok", or its kind as one word. What the
// caller stopped is "canceled", whatever stood in between.
func outcome(err error) string {
	if err == nil || errors.Is(err, io.EOF) {
		return "ok"
	}
	if errors.Is(err, context.Canceled) {
		return reason(fault.Canceled)
	}
	return reason(fault.KindOf(err))
}

// reason is a kind as a label.
func reason(kind fault.Kind) string {
	text := []byte(kind.String())
	for i, c := range text {
		if c == ' ' {
			text[i] = '_'
		}
	}
	return string(text)
}

// oneOf returns text when it is known, else "other".
func oneOf(text string, known ...string) string {
	for _, k := range known {
		if text == k {
			return text
		}
	}
	return "other"
}
