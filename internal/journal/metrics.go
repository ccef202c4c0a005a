package journal

import (
	"github.com/prometheus/client_golang/prometheus"

	"pushgateway/internal/store"
)

// metrics are those of a journal.
type metrics struct {
	duration prometheus.Histogram
	batch    prometheus.Histogram
	errors   prometheus.Counter
}

func newMetrics() metrics {
	return metrics{
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "pushgateway_persistence_commit_duration_seconds",
			Help:    "Time taken to write a batch of changes to the file, including the sync.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 3, 9),
		}),
		batch: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "pushgateway_persistence_commit_groups",
			Help:    "Number of changed groups in a batch written to the file.",
			Buckets: prometheus.ExponentialBuckets(1, 4, 7),
		}),
		errors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pushgateway_persistence_errors_total",
			Help: "Total failed attempts to write a batch of changes to the file.",
		}),
	}
}

// Collectors returns the journal's metrics.
func (j *Journal) Collectors() []prometheus.Collector {
	gauge := func(name, help string, value func(store.JournalStatus) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return value(j.Status()) })
	}
	return []prometheus.Collector{
		j.metrics.duration, j.metrics.batch, j.metrics.errors,
		gauge("pushgateway_persistence_last_commit_timestamp_seconds", "Unix time at which changes were last written to the file.",
			func(s store.JournalStatus) float64 { return float64(s.LastCommit.UnixNano()) / 1e9 }),
		gauge("pushgateway_persistence_file_size_bytes", "Size of the file that metrics are kept in.",
			func(s store.JournalStatus) float64 { return float64(s.SizeBytes) }),
	}
}
