package metrics

import (
	"expvar"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// State is what a node is asked for when metrics are collected.
type State struct {
	Tables, ValueLog int64 // bytes of the store
	CommitTs         uint64
	DiskFailed       bool   // and takes no more writes
	DiskTrouble      bool   // or failed
	DiskErrors       uint64 // of background work, since the start
	Pins             int
	OldestPinSeconds float64 // age; 0 without a pin
	Queued           int
	Running          map[string]int // tasks by kind
	BackupProgress   float64        // 0 to 1, of the backup that runs
}

// Watch sets what is asked for the state of the node.
func (m *Metrics) Watch(state func() State) {
	if m != nil {
		m.node.Store(&state)
	}
}

var (
	storeBytes     = prometheus.NewDesc("brock_store_bytes", "Bytes of the store on disk.", []string{"part"}, nil)
	commitTs       = prometheus.NewDesc("brock_store_commit_ts", "The newest commit.", nil, nil)
	diskUp         = prometheus.NewDesc("brock_store_disk_healthy", "1 while the disk of the store is well, 0 when something could not be written lately.", nil, nil)
	writable       = prometheus.NewDesc("brock_store_writable", "1 while the store takes writes, 0 when it has failed until the next start.", nil, nil)
	diskErrors     = prometheus.NewDesc("brock_store_disk_errors_total", "Failures of flushes and compactions since the start.", nil, nil)
	pins           = prometheus.NewDesc("brock_store_pins", "Series whose deletes are kept for their next incremental backup.", nil, nil)
	pinAge         = prometheus.NewDesc("brock_store_pin_age_seconds", "How long deletes have been kept, of the oldest pin.", nil, nil)
	tasksQueued    = prometheus.NewDesc("brock_tasks_queued", "Tasks that wait.", nil, nil)
	tasksRunning   = prometheus.NewDesc("brock_tasks_running", "Tasks that run.", []string{"kind"}, nil)
	backupRuns     = prometheus.NewDesc("brock_backup_in_progress", "1 while a backup runs.", nil, nil)
	backupProgress = prometheus.NewDesc("brock_backup_progress_ratio", "How far the backup that runs is, from 0 to 1, by estimated bytes.", nil, nil)
)

// stateCollector asks the node, once there is one.
type stateCollector struct{ m *Metrics }

// Describe implements prometheus.Collector.
func (stateCollector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{storeBytes, commitTs, diskUp, writable, diskErrors, pins, pinAge, tasksQueued, tasksRunning, backupRuns, backupProgress} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c stateCollector) Collect(to chan<- prometheus.Metric) {
	ask := c.m.node.Load()
	if ask == nil {
		return
	}
	s := (*ask)()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	gauge(storeBytes, float64(s.Tables), "tables")
	gauge(storeBytes, float64(s.ValueLog), "value_log")
	gauge(commitTs, float64(s.CommitTs))
	gauge(diskUp, oneUnless(s.DiskTrouble || s.DiskFailed))
	gauge(writable, oneUnless(s.DiskFailed))
	to <- prometheus.MustNewConstMetric(diskErrors, prometheus.CounterValue, float64(s.DiskErrors))
	gauge(pins, float64(s.Pins))
	gauge(pinAge, s.OldestPinSeconds)
	gauge(tasksQueued, float64(s.Queued))
	for kind, n := range s.Running {
		gauge(tasksRunning, float64(n), kind)
	}
	gauge(backupRuns, float64(min(1, s.Running["Backup"])))
	gauge(backupProgress, s.BackupProgress)
}

func oneUnless(bad bool) float64 {
	if bad {
		return 0
	}
	return 1
}

// badgerCollector passes on what Badger counts itself, which it does for all
// stores of a process together. What it counts by directory is summed up, what
// it counts by level keeps that.
type badgerCollector struct{}

// Describe tells nothing: what there is, Badger decides.
func (badgerCollector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (badgerCollector) Collect(to chan<- prometheus.Metric) {
	expvar.Do(func(v expvar.KeyValue) {
		if !strings.HasPrefix(v.Key, "badger_") {
			return
		}
		kind := prometheus.CounterValue
		present := strings.Contains(v.Key, "_size_") || strings.Contains(v.Key, "_pending_") || strings.Contains(v.Key, "_current_")
		if present {
			kind = prometheus.GaugeValue
		}
		const help = "Of Badger itself."
		switch value := v.Value.(type) {
		case *expvar.Int:
			to <- prometheus.MustNewConstMetric(prometheus.NewDesc(v.Key, help, nil, nil), kind, float64(value.Value()))
		case *expvar.Map:
			if present {
				to <- prometheus.MustNewConstMetric(prometheus.NewDesc(v.Key, help, nil, nil), kind, sumOf(value))
				return
			}
			level := prometheus.NewDesc(v.Key, help, []string{"level"}, nil)
			value.Do(func(v expvar.KeyValue) {
				if n, ok := v.Value.(*expvar.Int); ok {
					to <- prometheus.MustNewConstMetric(level, kind, float64(n.Value()), v.Key)
				}
			})
		}
	})
}

func sumOf(m *expvar.Map) (sum float64) {
	m.Do(func(v expvar.KeyValue) {
		if n, ok := v.Value.(*expvar.Int); ok {
			sum += float64(n.Value())
		}
	})
	return sum
}
