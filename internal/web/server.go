// Package web serves every URL of the gateway. The route table lists the routes and what
// each requires; middleware enforces that and counts requests. A handler decodes a
// request, makes one call into the packages below, encodes the answer, and returns its
// error, which one function turns into a response.
package web

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pushgateway/internal/access"
	"pushgateway/internal/api"
	"pushgateway/internal/history"
	"pushgateway/internal/httpserver"
	"pushgateway/internal/limits"
	"pushgateway/internal/metric"
	"pushgateway/internal/otlp"
	"pushgateway/internal/pushbody"
	"pushgateway/internal/rules"
	"pushgateway/internal/store"
	"pushgateway/internal/webui"
)

// Config configures a Server. All fields are required unless they say otherwise.
type Config struct {
	Store  *store.Store
	Clock  store.Clock
	Logger *slog.Logger
	// JournalMetrics are metrics of the store's journal; may be nil.
	JournalMetrics []prometheus.Collector
	// Validation says which metric and label names pushes may use.
	Validation metric.ValidationScheme

	Guard *access.Guard // says who may do what; nil if everybody may do everything

	// Limits bound pushes to groups whose rule does not set them.
	Limits limits.Limits
	// MaxPushConcurrency bounds the pushes that are applied at the same time, and PushRate
	// those per second of each client. 0 means no limit.
	MaxPushConcurrency int
	PushRate           float64
	// Pacer lets pushes and deletes begin a few at a time.
	Pacer *limits.Pacer
	// MaxPushMemory bounds the memory of pushes that are read at the same time, in bytes.
	// 0 means a share of the process' memory limit.
	MaxPushMemory int64

	OTLP otlp.Config // says how OTLP is translated

	Rules    *rules.Manager
	Defaults metric.Options // options of pushes that neither set them nor match a rule that does

	ExternalURL   url.URL // the gateway's address as clients know it; may have no host
	RoutePrefix   string  // of all paths, as /prefix; may be empty
	TelemetryPath string  // below the route prefix
	// SelfMetricsPath is the path of the gateway's own metrics, below the route prefix.
	// If it is empty, they are exposed together with the pushed metrics.
	SelfMetricsPath string
	Pages           *webui.Pages
	Status          api.Status

	// Progress is how long a body or a response may take without any byte: see httpserver.Timeouts.
	Progress time.Duration

	Unchecked   bool // answer accepted pushes with 202, as upstream does without its check
	OpenMetrics bool // expose OpenMetrics to clients that ask for it
	AdminAPI    bool
	// ReadOnlyReady answers /-/ready with 200 also while changes are not accepted.
	ReadOnlyReady bool
	Quit          func() // stops the process; nil disables the lifecycle API
}

// Server serves the gateway's URLs. It is safe for concurrent use.
type Server struct {
	config   Config
	metrics  *metrics
	history  *history.Log
	recorder recorder
	routes   *routeTable
	audit    *auditor

	admission *limits.Admission // of pushes
	bodies    *pushbody.Budget  // the memory of pushes that are being read

	protection http.CrossOriginProtection
	panics     *httpserver.LimitedLogger
}

// New returns a server. It reserves the names of the gateway's own metrics in the store.
func New(config Config) (*Server, error) {
	s := &Server{
		config:  config,
		metrics: newMetrics(config.Store, config.Rules, config.Guard, config.JournalMetrics),
		history: newHistory(config.Store),
		panics:  httpserver.NewLimitedLogger(config.Logger),
	}
	s.audit = &auditor{config.Logger, config.Guard, s.metrics}
	s.recorder = recorder{
		s.history, s.metrics, config.Logger, config.Clock.Now, config.Guard != nil, httpserver.NewLimitedLogger(config.Logger),
	}
	s.admission = limits.NewAdmission(config.MaxPushConcurrency, config.PushRate)
	s.bodies = pushbody.NewBudget(config.MaxPushMemory)
	s.metrics.registerLoad(s.admission, s.bodies)
	if external := config.ExternalURL; external.Host != "" {
		// Behind a proxy, requests may carry the proxy's own name for the gateway.
		if err := s.protection.AddTrustedOrigin(external.Scheme + "://" + external.Host); err != nil {
			return nil, fmt.Errorf("external URL: %w", err)
		}
	}
	rows, err := s.table()
	if err != nil {
		return nil, err
	}
	if path := config.SelfMetricsPath; path == "" {
		types, err := s.metrics.types()
		if err != nil {
			return nil, err
		}
		config.Store.Reserve(types)
	} else if inUse(rows, path) {
		return nil, fmt.Errorf("the path for the gateway's own metrics, %s, is already in use: choose another", path)
	}
	s.routes = newRouteTable(rows, s.serve)
	return s, nil
}

// PushMemory returns the memory that pushes share while they are read.
func (s *Server) PushMemory() *pushbody.Budget { return s.bodies }

// inUse reports whether a row other than that of the gateway's own metrics, which is the
// last, serves the path.
func inUse(rows []route, path string) bool {
	others := newRouteTable(rows[:len(rows)-1], func(route) func(*httpserver.Response, *request) { return nil })
	return others.find(path) != nil
}
