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
)

// scrapeHandler returns the handler of the telemetry path.
func (s *Server) scrapeHandler(writer *exposition.Writer) http.Handler {
	negotiate := expfmt.Negotiate
	if s.OpenMetrics {
		negotiate = expfmt.NegotiateIncludingOpenMetrics
	}
	return promhttp.InstrumentMetricHandler(s.metrics.registry, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		started := time.Now()
		var own []*dto.MetricFamily
		if s.OwnMetricsPath == "" {
			var err error
			if own, err = s.metrics.registry.Gather(); err != nil {
				// What could be gathered is there all the same.
				s.Logger.Error("gather own metrics", "err", err)
			}
		}
		format, encoding := negotiate(r.Header), negotiateEncoding(r.Header)
		w.Header().Set("Content-Type", string(format))
		if encoding != exposition.Identity {
			w.Header().Set("Content-Encoding", string(encoding))
		}
		size, err := writer.Write(w, s.Store.Snapshot(), own, format, encoding)
		if err != nil {
			// The status is out already: the scraper sees a body cut short. Mostly
			// it has gone itself.
			level := slog.LevelError
			if r.Context().Err() != nil {
				level = slog.LevelDebug
			}
			s.Logger.Log(r.Context(), level, "scrape failed", "source", r.RemoteAddr, "err", err)
			panic(http.ErrAbortHandler)
		}
		s.metrics.scrapeDuration.Observe(time.Since(started).Seconds())
		s.metrics.scrapeSize.Observe(float64(size))
	}))
}

// ownMetrics returns the handler of the gateway's own metrics where they have a path
// of their own.
func (s *Server) ownMetrics() http.Handler {
	return promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(s.Logger.Handler(), slog.LevelError), EnableOpenMetrics: s.OpenMetrics,
	})
}

// negotiateEncoding chooses the compression of an answer by Accept-Encoding, as
// RFC 9110 section 12.5.3 has it: the highest weight wins, gzip before zstd where
// they are equal, since that is what scrapers have been asking for all along.
func negotiateEncoding(h http.Header) exposition.Encoding {
	best, bestWeight := exposition.Identity, 0.0
	for _, accepted := range strings.Split(strings.Join(h.Values("Accept-Encoding"), ","), ",") {
		name, params, _ := strings.Cut(accepted, ";")
		weight := 1.0
		if q, ok := strings.CutPrefix(strings.TrimSpace(params), "q="); ok {
			var err error
			if weight, err = strconv.ParseFloat(q, 64); err != nil {
				continue
			}
		}
		encoding := exposition.Encoding(strings.ToLower(strings.TrimSpace(name)))
		if encoding != exposition.Gzip && encoding != exposition.Zstd {
			continue
		}
		if weight > bestWeight || weight == bestWeight && weight > 0 && encoding == exposition.Gzip {
			best, bestWeight = encoding, weight
		}
	}
	return best
}
