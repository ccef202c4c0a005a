package web

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	versioncollector "github.com/prometheus/client_golang/prometheus/collectors/version"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"pushgateway/internal/metric"
	"pushgateway/internal/store"
)

// metrics are the gateway's own.
type metrics struct {
	registry       *prometheus.Registry
	requests       *prometheus.CounterVec
	pushSize       *prometheus.SummaryVec
	pushDuration   *prometheus.SummaryVec
	rejected       *prometheus.CounterVec
	scrapeDuration prometheus.Histogram
	scrapeSize     prometheus.Histogram

	repeated          prometheus.Counter
	timestampsDropped prometheus.Counter
	expired           prometheus.Counter
	reloadSuccessful  prometheus.Gauge
	reloadTime        prometheus.Gauge
}

func newMetrics(totals func() store.Totals, others []prometheus.Collector) *metrics {
	objectives := map[float64]float64{0.1: 0.01, 0.5: 0.05, 0.9: 0.01}
	// A summary keeps each observation once per age bucket; two instead of five cost
	// pushes a third of the time, and quantiles are of the last 5 to 10 minutes.
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
			Help: "Total pushes that were not applied, by the reason.",
		}, []string{"reason"}),
		scrapeDuration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "pushgateway_scrape_duration_seconds",
			Help:    "Time taken to write an exposition, including the client's time to read it.",
			Buckets: []float64{.001, .0025, .01, .025, .1, .25, 1, 2.5, 10},
		}),
		scrapeSize: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "pushgateway_scrape_size_bytes",
			Help:    "Size of the expositions written, as sent: compressed where the client asked for it.",
			Buckets: prometheus.ExponentialBuckets(4096, 8, 6),
		}),
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	m.repeated = counter("pushgateway_pushes_replayed_total", "Total pushes that had no effect because one with the same idempotency key had been applied to the group.")
	m.timestampsDropped = counter("pushgateway_timestamps_dropped_total", "Total metrics that were taken without the timestamp they were pushed with.")
	m.expired = counter("pushgateway_groups_expired_total", "Total groups that ended because their time to live was over.")
	m.reloadSuccessful = gauge("pushgateway_config_last_reload_successful", "Whether the file with the rules could be used when it was last loaded (1) or not (0).")
	m.reloadTime = gauge("pushgateway_config_last_reload_success_timestamp_seconds", "Unix time when the rules in use were loaded.")
	held := func(name, help string, value func(store.Totals) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return value(totals()) })
	}
	m.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		versioncollector.NewCollector("pushgateway"),
		m.requests, m.pushSize, m.pushDuration, m.rejected, m.scrapeDuration, m.scrapeSize,
		m.repeated, m.timestampsDropped, m.expired,
		held("pushgateway_groups", "Number of groups held.",
			func(t store.Totals) float64 { return float64(t.Groups) }),
		held("pushgateway_series", "Number of pushed metrics held, each with its own label set; a histogram or summary counts once.",
			func(t store.Totals) float64 { return float64(t.Series) }),
		held("pushgateway_stored_bytes", "Size of the pushed metrics held, in protobuf.",
			func(t store.Totals) float64 { return float64(t.Bytes) }),
	)
	m.registry.MustRegister(others...)
	for _, reason := range metric.Reasons() {
		m.rejected.WithLabelValues(string(reason)) // so that a first increase is one
	}
	return m
}

// types returns the names and types of all own metric families, also of those
// without a metric yet. It is called before the first request.
func (m *metrics) types() (map[string]metric.Type, error) {
	m.requests.WithLabelValues("", "", "")
	m.pushSize.WithLabelValues("")
	m.pushDuration.WithLabelValues("")
	defer m.requests.Reset()
	defer m.pushSize.Reset()
	defer m.pushDuration.Reset()
	families, err := m.registry.Gather()
	if err != nil {
		return nil, fmt.Errorf("gather own metrics: %w", err)
	}
	types := map[string]metric.Type{}
	for _, f := range families {
		types[f.GetName()] = metric.Type(f.GetType())
	}
	return types, nil
}

// countRejection counts a push that was rejected; one that only failed is none.
func (m *metrics) countRejection(err error) {
	if reason := reasonOf(err); reason != "" {
		m.rejected.WithLabelValues(string(reason)).Inc()
	}
}

// reloaded records how loading the rules went.
func (m *metrics) reloaded(ok bool, at time.Time) {
	if !ok {
		m.reloadSuccessful.Set(0)
		return
	}
	m.reloadSuccessful.Set(1)
	m.reloadTime.Set(float64(at.UnixNano()) / 1e9)
}

// counted counts the requests that h answers.
func (m *metrics) counted(name string, h http.Handler) http.Handler {
	return promhttp.InstrumentHandlerCounter(m.requests.MustCurryWith(prometheus.Labels{"handler": name}), h)
}

// measuredPush counts, times and sizes pushes with the given method, as counted
// and promhttp's handlers for duration and size do, which together cost as much as
// parsing a small push.
func (m *metrics) measuredPush(method string, h http.Handler) http.Handler {
	method = strings.ToLower(method)
	duration := sync.OnceValue(func() prometheus.Observer { return m.pushDuration.WithLabelValues(method) })
	size := sync.OnceValue(func() prometheus.Observer { return m.pushSize.WithLabelValues(method) })
	taken := sync.OnceValue(func() prometheus.Counter { return m.requests.WithLabelValues("push", "200", method) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		started := time.Now()
		recorder := statusRecorder{ResponseWriter: w, status: http.StatusOK}
		h.ServeHTTP(&recorder, r)
		if recorder.status == http.StatusOK {
			taken().Inc() // nearly all, and without a look-up
		} else {
			m.requests.WithLabelValues("push", strconv.Itoa(recorder.status), method).Inc()
		}
		duration().Observe(time.Since(started).Seconds())
		size().Observe(requestSize(r))
	})
}

// statusRecorder remembers the status of an answer.
type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (w *statusRecorder) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap gives http.ResponseController what is behind the recorder.
func (w *statusRecorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// requestSize returns about how many bytes a request took, in the way of
// promhttp.InstrumentHandlerRequestSize.
func requestSize(r *http.Request) float64 {
	size := len(r.URL.Path) + len(r.Method) + len(r.Proto) + len(r.Host)
	for name, values := range r.Header {
		size += len(name)
		for _, value := range values {
			size += len(value)
		}
	}
	return float64(size) + float64(max(r.ContentLength, 0))
}
