package web

import (
	"errors"
	"fmt"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	versioncollector "github.com/prometheus/client_golang/prometheus/collectors/version"

	"pushgateway/internal/access"
	"pushgateway/internal/limits"
	"pushgateway/internal/metric"
	"pushgateway/internal/pushbody"
	"pushgateway/internal/rules"
	"pushgateway/internal/store"
)

// metrics holds the gateway's own metrics.
type metrics struct {
	registry       *prometheus.Registry
	requests       *prometheus.CounterVec
	pushSize       *prometheus.SummaryVec
	pushDuration   *prometheus.SummaryVec
	rejected       *prometheus.CounterVec
	scrapeDuration prometheus.Histogram
	scrapeSize     prometheus.Histogram

	replayed          prometheus.Counter
	timestampsDropped prometheus.Counter
	expired           prometheus.Counter

	// The following are exposed only if there is an auth file.
	denied       *prometheus.CounterVec
	authFailures *prometheus.CounterVec
}

// newGauge returns a gauge with a value that is determined anew for each exposition.
func newGauge(name, help string, value func() float64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
}

// newIndicator returns a gauge that is 1 while holds returns true, and otherwise 0.
func newIndicator(name, help string, holds func() bool) prometheus.Collector {
	return newGauge(name, help, func() float64 {
		if holds() {
			return 1
		}
		return 0
	})
}

// newMetrics returns the metrics, with those of the store and of its journal.
func newMetrics(s *store.Store, rules *rules.Manager, guard *access.Guard, journal []prometheus.Collector) *metrics {
	objectives := map[float64]float64{0.1: 0.01, 0.5: 0.05, 0.9: 0.01}
	// A summary stores each observation once per age bucket. Two buckets instead of five
	// cost pushes a third of the time; quantiles are over the last 5 to 10 minutes.
	const ageBuckets = 2
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pushgateway_http_requests_total",
			Help: "Total HTTP requests processed by the Pushgateway, excluding scrapes.",
		}, []string{"handler", "code", "method"}),
		pushSize: prometheus.NewSummaryVec(prometheus.SummaryOpts{
			Name:       "pushgateway_http_push_size_bytes",
			Help:       "HTTP request size for pushes to the Pushgateway.",
			Objectives: objectives,
			AgeBuckets: ageBuckets,
		}, []string{"method"}),
		pushDuration: prometheus.NewSummaryVec(prometheus.SummaryOpts{
			Name:       "pushgateway_http_push_duration_seconds",
			Help:       "HTTP request duration for pushes to the Pushgateway.",
			Objectives: objectives,
			AgeBuckets: ageBuckets,
		}, []string{"method"}),
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pushgateway_pushes_rejected_total",
			Help: "Total pushes that were rejected, by reason.",
		}, []string{"reason"}),
		scrapeDuration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "pushgateway_scrape_duration_seconds",
			Help:    "Time taken to write an exposition, including the time in which the client reads it.",
			Buckets: []float64{.001, .0025, .01, .025, .1, .25, 1, 2.5, 10},
		}),
		scrapeSize: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "pushgateway_scrape_size_bytes",
			Help:    "Size of the expositions as sent, which is after compression if the client asked for it.",
			Buckets: prometheus.ExponentialBuckets(4096, 8, 6),
		}),
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m.replayed = counter("pushgateway_pushes_replayed_total",
		"Total pushes that had no effect because a push with the same idempotency key had been applied to the group.")
	m.timestampsDropped = counter("pushgateway_timestamps_dropped_total",
		"Total metrics that were accepted without the timestamp they were pushed with.")
	m.expired = counter("pushgateway_groups_expired_total", "Total groups that expired.")
	m.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		versioncollector.NewCollector("pushgateway"),
		m.requests, m.pushSize, m.pushDuration, m.rejected, m.scrapeDuration, m.scrapeSize,
		m.replayed, m.timestampsDropped, m.expired,
		newGauge("pushgateway_groups", "Number of stored groups.",
			func() float64 { return float64(s.Totals().Groups) }),
		newGauge("pushgateway_series",
			"Number of stored pushed metrics, each with its own label set; a histogram or summary counts once.",
			func() float64 { return float64(s.Totals().Series) }),
		newGauge("pushgateway_stored_bytes", "Size of the stored pushed metrics, encoded as protobuf.",
			func() float64 { return float64(s.Totals().Bytes) }),
		newGauge("pushgateway_groups_limit", "Maximum number of stored groups (--storage.max-groups); 0 means no limit.",
			func() float64 { return float64(s.Quota().Groups) }),
		newGauge("pushgateway_series_limit", "Maximum number of stored series (--storage.max-series); 0 means no limit.",
			func() float64 { return float64(s.Quota().Series) }),
		newGauge("pushgateway_stored_bytes_limit", "Maximum size of the stored pushed metrics (--storage.max-bytes); 0 means no limit.",
			func() float64 { return float64(s.Quota().Bytes) }),
		newIndicator("pushgateway_persistence_durable",
			"Whether accepted changes are on disk (1), or only in memory or not accepted at all (0).",
			func() bool { return s.Status().Durable }),
	)
	if rules.Configured() {
		m.registry.MustRegister(
			newIndicator("pushgateway_config_last_reload_successful", "Whether the last load of the rules file succeeded (1) or not (0).",
				func() bool { return rules.Status().Err == nil }),
			newGauge("pushgateway_config_last_reload_success_timestamp_seconds", "Unix time when the rules in use were loaded.",
				func() float64 { return float64(rules.Status().Loaded.UnixNano()) / 1e9 }),
		)
	}
	m.registerAuth(guard)
	m.registry.MustRegister(journal...)
	for _, reason := range metric.Reasons() {
		m.rejected.WithLabelValues(string(reason)) // so that rate() sees the first rejection
	}
	return m
}

// registerAuth registers the metrics about rights.
func (m *metrics) registerAuth(guard *access.Guard) {
	m.denied = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pushgateway_auth_denied_total",
		Help: "Total requests, and groups of bulk requests, that were rejected because the sender lacks a right, by right.",
	}, []string{"right"})
	m.authFailures = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pushgateway_auth_failures_total",
		Help: "Total requests whose credential was not accepted, by reason: it is wrong, or there were too many attempts.",
	}, []string{"reason"})
	if guard == nil {
		return
	}
	for _, right := range access.Rights() {
		m.denied.WithLabelValues(right.String())
	}
	for _, reason := range []string{"wrong", "throttled"} {
		m.authFailures.WithLabelValues(reason)
	}
	m.registry.MustRegister(m.denied, m.authFailures,
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "pushgateway_auth_password_checks_total",
			Help: "Total passwords that were compared with a bcrypt hash; those that are known to be right are not.",
		}, func() float64 { return float64(guard.PasswordChecks()) }),
		newIndicator("pushgateway_auth_last_reload_successful", "Whether the last load of the auth file succeeded (1) or not (0).",
			func() bool { return guard.Status().Err == nil }),
		newGauge("pushgateway_auth_last_reload_success_timestamp_seconds", "Unix time when the auth file in use was loaded.",
			func() float64 { return float64(guard.Status().Loaded.UnixNano()) / 1e9 }),
	)
}

// registerLoad registers the metrics about pushes under way.
func (m *metrics) registerLoad(a *limits.Admission, b *pushbody.Budget) {
	m.registry.MustRegister(
		newGauge("pushgateway_push_memory_bytes", "Memory that is reserved for pushes that are being read, see --push.max-inflight-bytes.",
			func() float64 { return float64(b.Reserved()) }),
		newGauge("pushgateway_push_memory_limit_bytes", "Memory that pushes that are being read may reserve together.",
			func() float64 { return float64(b.Size()) }),
		newGauge("pushgateway_pushes_running", "Pushes that are being applied, see --push.max-concurrency.",
			func() float64 { return float64(a.Running()) }),
		newGauge("pushgateway_pushes_waiting", "Pushes whose bodies have arrived and that wait until others are applied.",
			func() float64 { return float64(a.Waiting()) }),
	)
}

func (m *metrics) countDenied(right access.Right) { m.denied.WithLabelValues(right.String()).Inc() }

func (m *metrics) countAuthFailure(err error) {
	reason := "wrong"
	if _, ok := errors.AsType[*access.ThrottledError](err); ok {
		reason = "throttled"
	}
	m.authFailures.WithLabelValues(reason).Inc()
}

// types returns the names and types of all families, including those that have no metric
// yet. It must be called before the first request.
func (m *metrics) types() (map[string]metric.Type, error) {
	m.requests.WithLabelValues("", "", "")
	m.pushSize.WithLabelValues("")
	m.pushDuration.WithLabelValues("")
	defer m.requests.Reset()
	defer m.pushSize.Reset()
	defer m.pushDuration.Reset()
	families, err := m.registry.Gather()
	if err != nil {
		return nil, fmt.Errorf("gather the gateway's own metrics: %w", err)
	}
	types := map[string]metric.Type{}
	for _, f := range families {
		if reservedMetric(f.GetName()) {
			types[f.GetName()] = metric.Type(f.GetType())
		}
	}
	return types, nil
}

// reservedMetric reports whether a push must not have a metric of this name with another
// type than the gateway's own. These are the names that upstream reserves. Its other own
// metrics give way to pushed ones.
func reservedMetric(name string) bool {
	switch name {
	case "pushgateway_build_info", "pushgateway_http_requests_total",
		"pushgateway_http_push_size_bytes", "pushgateway_http_push_duration_seconds":
		return true
	}
	return strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_")
}

// countRejection counts err if it is a rejection. A temporary failure is not.
func (m *metrics) countRejection(err error) {
	if reason := reasonOf(err); reason != "" {
		m.rejected.WithLabelValues(string(reason)).Inc()
	}
}
