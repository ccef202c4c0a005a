package postgres

import (
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are those of a journal.
type metrics struct {
	wait          prometheus.Histogram
	duration      prometheus.Histogram
	batch         prometheus.Histogram
	errors        prometheus.Counter
	records       prometheus.Counter
	bytes         prometheus.Counter
	notifications prometheus.Counter
	reconnects    prometheus.Counter
	reloads       prometheus.Counter
	repairs       prometheus.Counter
	repaired      prometheus.Counter
	lookups       *prometheus.CounterVec
}

func newMetrics() metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "pushgateway_persistence_" + name, Help: help})
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: "pushgateway_persistence_" + name, Help: help, Buckets: buckets})
	}
	durations := prometheus.ExponentialBuckets(0.0005, 3, 9)
	m := metrics{
		wait: histogram("turn_wait_seconds",
			"Time taken to get the turn to change groups, and to learn what other replicas have changed.", durations),
		duration: histogram("commit_duration_seconds", "Time taken to write a batch of changes to the database and commit it.", durations),
		batch: histogram("commit_groups", "Number of changed groups in a batch written to the database.",
			prometheus.ExponentialBuckets(1, 4, 7)),
		errors:        counter("errors_total", "Total failed attempts to take the turn or to commit a batch of changes."),
		records:       counter("records_written_total", "Total groups written to the database."),
		bytes:         counter("record_bytes_written_total", "Total size of the groups written to the database."),
		notifications: counter("notifications_total", "Total notifications of commits that the database sent, those of this replica included."),
		reconnects:    counter("reconnects_total", "Total lost connections to the database, and failed attempts to connect."),
		reloads:       counter("reloads_total", "Total times that all groups were read again because this replica had been away for too long."),
		repairs:       counter("repairs_total", "Total times that the database lacked commits, after a failover, and this replica made up for it."),
		repaired:      counter("repaired_groups_total", "Total groups that this replica wrote again because the database had lost them."),
		lookups: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pushgateway_persistence_lookups_total",
			Help: "Total commits during which the connection was lost, by what the database said about them afterwards.",
		}, []string{"outcome"}),
	}
	for _, outcome := range []string{"committed", "not committed", "unknown"} {
		m.lookups.WithLabelValues(outcome)
	}
	return m
}

// Collectors returns the journal's metrics.
func (j *Journal) Collectors() []prometheus.Collector {
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "pushgateway_persistence_" + name, Help: help}, value)
	}
	m := &j.metrics
	return []prometheus.Collector{
		m.wait, m.duration, m.batch, m.errors, m.records, m.bytes, m.notifications, m.reconnects, m.reloads, m.repairs, m.repaired, m.lookups,
		gauge("last_commit_timestamp_seconds", "Unix time at which this replica last wrote changes to the database.",
			func() float64 { return float64(j.Status().LastCommit.UnixNano()) / 1e9 }),
		gauge("last_contact_timestamp_seconds", "Unix time at which the database last answered; what is exposed is at most that old.",
			func() float64 { return float64(j.Replicas().Contact.UnixNano()) / 1e9 }),
		gauge("size_bytes", "Size of the tables in the database.", func() float64 { return float64(j.Status().SizeBytes) }),
		gauge("sequence", "Number of the last commit that this replica has.", func() float64 { return float64(j.last().sequence) }),
		gauge("clock_skew_seconds", "How far the database's clock is ahead of this machine's.",
			func() float64 { return j.Replicas().ClockSkew.Seconds() }),
		&replicaCollector{j},
	}
}

var (
	replicasDesc = prometheus.NewDesc("pushgateway_replicas", "Number of live replicas that use the database.", nil, nil)
	behindDesc   = prometheus.NewDesc("pushgateway_replica_behind_commits",
		"How many commits a live replica lacks, as of its last heartbeat.", []string{"replica"}, nil)
	differsDesc = prometheus.NewDesc("pushgateway_replica_configuration_differs",
		"Whether a live replica has another rules or auth file than this one (1), or the same (0).", []string{"replica", "file"}, nil)
)

// replicaCollector collects what is known about the live replicas, once per name.
type replicaCollector struct{ journal *Journal }

func (c *replicaCollector) Describe(descs chan<- *prometheus.Desc) {
	descs <- replicasDesc
	descs <- behindDesc
	descs <- differsDesc
}

func (c *replicaCollector) Collect(metrics chan<- prometheus.Metric) {
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	type state struct {
		behind      int64
		rules, auth bool
	}
	live, byName := 0, map[string]state{}
	for _, r := range c.journal.Replicas().All {
		if r.Live {
			live++
			s := byName[r.Name]
			byName[r.Name] = state{max(s.behind, r.Behind), s.rules || r.OtherRules, s.auth || r.OtherAuth}
		}
	}
	number := map[bool]float64{true: 1}
	gauge(replicasDesc, float64(live))
	for name, s := range byName {
		gauge(behindDesc, float64(s.behind), name)
		gauge(differsDesc, number[s.rules], name, "rules")
		gauge(differsDesc, number[s.auth], name, "auth")
	}
}
