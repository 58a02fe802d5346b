package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/brockdb/brock/backup/fault"
)

// seconds are the buckets of what takes from a second to half a day.
var seconds = []float64{1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600}

// backups are the metrics that alerts are about.
type backups struct {
	lastSuccess prometheus.Gauge
	attempts    prometheus.Counter
	failures    *prometheus.CounterVec
	duration    *prometheus.HistogramVec
	size        *prometheus.GaugeVec
	chain       prometheus.Gauge
}

func newBackups() backups {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "brock_backup_" + name, Help: help})
	}
	b := backups{
		lastSuccess: gauge("last_success_timestamp_seconds", "When the last successful backup ended, in seconds since 1970; 0 when none is known."),
		attempts:    prometheus.NewCounter(prometheus.CounterOpts{Name: "brock_backup_attempts_total", Help: "Backups that were begun."}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "brock_backup_failures_total",
			Help: "Backups that did not come to their end, by the kind of the error."}, []string{"reason"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "brock_backup_duration_seconds",
			Help: "What successful backups took.", Buckets: seconds}, []string{"type"}),
		size: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "brock_backup_size_bytes",
			Help: "Bytes of the last successful backup: raw, before compression, and stored."}, []string{"stage"}),
		chain: gauge("chain_length", "Backups of the series that the last successful one is of: what a restore has to read."),
	}
	for _, kind := range []fault.Kind{fault.Other, fault.Denied, fault.NoSpace, fault.Locked, fault.Canceled} {
		b.failures.WithLabelValues(reason(kind)) // a rate needs the 0 before the first
	}
	for _, stage := range []string{"raw", "stored"} {
		b.size.WithLabelValues(stage)
	}
	for _, kind := range []string{"full", "incremental"} {
		b.duration.WithLabelValues(kind)
	}
	return b
}

func (b *backups) all() []prometheus.Collector {
	return []prometheus.Collector{b.lastSuccess, b.attempts, b.failures, b.duration, b.size, b.chain}
}

// Backup is one that succeeded.
type Backup struct {
	FinishedAt  time.Time
	Duration    time.Duration
	Type        string // "full" or "incremental"
	ChainLength int
	RawBytes    int64
	StoredBytes int64
}

// BackupBegun counts an attempt.
func (m *Metrics) BackupBegun() {
	if m != nil {
		m.backups.attempts.Inc()
	}
}

// BackupFailed counts an attempt that came to nothing.
func (m *Metrics) BackupFailed(err error) {
	if m != nil {
		m.backups.failures.WithLabelValues(outcome(err)).Inc()
	}
}

// BackupDone tells of one that succeeded.
func (m *Metrics) BackupDone(b Backup) {
	if m == nil {
		return
	}
	m.BackupKnown(b)
	m.backups.duration.WithLabelValues(oneOf(b.Type, "full", "incremental")).Observe(b.Duration.Seconds())
}

// BackupKnown tells of one that succeeded before this process was started: a
// restart must not look like a node that was never backed up.
func (m *Metrics) BackupKnown(b Backup) {
	if m == nil {
		return
	}
	m.backups.lastSuccess.Set(float64(b.FinishedAt.UnixMilli()) / 1000)
	m.backups.size.WithLabelValues("raw").Set(float64(b.RawBytes))
	m.backups.size.WithLabelValues("stored").Set(float64(b.StoredBytes))
	m.backups.chain.Set(float64(b.ChainLength))
}

// tasks are the metrics of all kinds of tasks.
type tasks struct {
	ended    *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

func newTasks() tasks {
	return tasks{
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "brock_tasks_total",
			Help: "Tasks that are over, by kind and outcome: ok, or the kind of the error."}, []string{"kind", "outcome"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "brock_task_duration_seconds",
			Help: "What tasks took, good or not.", Buckets: seconds}, []string{"kind"}),
	}
}

func (t *tasks) all() []prometheus.Collector { return []prometheus.Collector{t.ended, t.duration} }

// TaskEnded counts a task of a kind.
func (m *Metrics) TaskEnded(kind string, took time.Duration, err error) {
	if m == nil {
		return
	}
	m.tasks.ended.WithLabelValues(kind, outcome(err)).Inc()
	m.tasks.duration.WithLabelValues(kind).Observe(took.Seconds())
}
