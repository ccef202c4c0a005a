package web

import (
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"pushgateway/internal/exposition"
	"pushgateway/internal/history"
	"pushgateway/internal/store"
)

// scrapeHandler answers scrapes.
type scrapeHandler struct {
	store     *store.Store
	metrics   *metrics
	logger    *slog.Logger
	history   *history.Log
	now       func() time.Time
	writer    *exposition.Writer
	negotiate func(http.Header) expfmt.Format
	together  bool // self metrics are exposed together with the pushed metrics

	instrumented    http.Handler // writeAll, counted by the metrics promhttp_metric_handler_…
	selfMetricsOnly http.Handler
}

func newScrapeHandler(s *Server) (*scrapeHandler, error) {
	writer, err := exposition.NewWriter(reservedMetric)
	if err != nil {
		return nil, err
	}
	h := &scrapeHandler{
		store: s.config.Store, metrics: s.metrics, logger: s.config.Logger, history: s.history, now: s.config.Clock.Now, writer: writer,
		negotiate: expfmt.Negotiate, together: s.config.SelfMetricsPath == "",
	}
	if s.config.OpenMetrics {
		h.negotiate = expfmt.NegotiateIncludingOpenMetrics
	}
	h.instrumented = promhttp.InstrumentMetricHandler(s.metrics.registry, http.HandlerFunc(h.writeAll))
	h.selfMetricsOnly = promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(h.logger.Handler(), slog.LevelError), EnableOpenMetrics: s.config.OpenMetrics,
	})
	return h, nil
}

// scrape answers GET for the telemetry path.
func (h *scrapeHandler) scrape(w http.ResponseWriter, r *request) error {
	h.instrumented.ServeHTTP(w, r.Request)
	return nil
}

// selfMetrics answers GET for the path of the gateway's own metrics.
func (h *scrapeHandler) selfMetrics(w http.ResponseWriter, r *request) error {
	h.selfMetricsOnly.ServeHTTP(w, r.Request)
	return nil
}

// writeAll writes the pushed metrics, and the gateway's own if they have no path of their
// own.
func (h *scrapeHandler) writeAll(w http.ResponseWriter, r *http.Request) {
	started := time.Now()
	var self []*dto.MetricFamily
	if h.together {
		var err error
		if self, err = h.metrics.registry.Gather(); err != nil {
			// self holds what could be gathered.
			h.logger.Error("gather the gateway's own metrics", "err", err)
		}
	}
	format, encoding := h.negotiate(r.Header), negotiateEncoding(r.Header)
	w.Header().Set("Content-Type", string(format))
	if encoding != exposition.Identity {
		w.Header().Set("Content-Encoding", string(encoding))
	}
	size, err := h.writer.Write(w, h.store.Snapshot(), self, format, encoding)
	if err != nil {
		// The status has been sent: the scraper sees a body that is cut short. In most
		// cases it has gone.
		level := slog.LevelError
		if clientFailed(r, err) {
			level = slog.LevelDebug
		}
		h.logger.Log(r.Context(), level, "scrape failed", "remote_addr", r.RemoteAddr, "err", err)
		panic(http.ErrAbortHandler)
	}
	if !byHand(r) {
		h.history.RecordScrape(h.now(), r.RemoteAddr, r.UserAgent())
	}
	h.metrics.scrapeDuration.Observe(time.Since(started).Seconds())
	h.metrics.scrapeSize.Observe(float64(size))
}

// negotiateEncoding chooses the compression of an answer by Accept-Encoding as of RFC 9110
// section 12.5.3: the highest weight wins. At equal weights gzip wins, which scrapers have
// always asked for, then zstd. No compression wins only if it has a higher weight.
func negotiateEncoding(h http.Header) exposition.Encoding {
	weights := map[exposition.Encoding]float64{}
	for _, accepted := range strings.Split(strings.Join(h.Values("Accept-Encoding"), ","), ",") {
		name, params, _ := strings.Cut(accepted, ";")
		weight := 1.0
		if q, ok := strings.CutPrefix(strings.TrimSpace(params), "q="); ok {
			var err error
			if weight, err = strconv.ParseFloat(q, 64); err != nil {
				continue
			}
		}
		weights[exposition.Encoding(strings.ToLower(strings.TrimSpace(name)))] = weight
	}
	best := exposition.Identity
	for _, encoding := range []exposition.Encoding{exposition.Zstd, exposition.Gzip} {
		if weight := weights[encoding]; weight > 0 && weight >= weights[best] {
			best = encoding
		}
	}
	return best
}

// byHand reports whether a person looks at the metrics, with a browser, curl or wget, rather than
// a scraper.
func byHand(r *http.Request) bool {
	agent := r.UserAgent()
	return wantsPage(r) || strings.HasPrefix(agent, "curl/") || strings.HasPrefix(agent, "Wget/")
}
