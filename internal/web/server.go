// Package web answers every URL of the gateway. A handler decodes, makes one call
// into the store, and encodes; what it does not know, it leaves to the packages
// below.
package web

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"pushgateway/internal/api"
	"pushgateway/internal/exposition"
	"pushgateway/internal/history"
	"pushgateway/internal/metric"
	"pushgateway/internal/pushoptions"
	"pushgateway/internal/rules"
	"pushgateway/internal/search"
	"pushgateway/internal/store"
	"pushgateway/internal/webui"
)

// Config is what a Server needs. All fields are required unless they say so.
type Config struct {
	Store   *store.Store
	Storage Storage
	Logger  *slog.Logger
	Now     func() time.Time        // the time of day
	Elapsed func() time.Duration    // since some moment, whatever becomes of the time of day
	Names   metric.ValidationScheme // which names pushes may use

	// LoadRules gets the rules for pushes, at New and at each Reload; nil where
	// there are none.
	LoadRules func() (*rules.Rules, error)
	Defaults  metric.Options // of pushes where neither they nor the rules say otherwise

	RoutePrefix   string // of all paths served, as /prefix; may be empty
	TelemetryPath string // behind the route prefix
	// OwnMetricsPath is where the gateway's own metrics are, behind the route
	// prefix; empty where they are among those pushed.
	OwnMetricsPath string
	Pages          *webui.Pages
	Status         api.Status

	Unchecked   bool // answer accepted pushes as the original does without its check
	OpenMetrics bool // expose OpenMetrics where a client asks for it
	AdminAPI    bool
	Quit        func() // ends the process; nil disables the lifecycle API
}

// Server serves the gateway's URLs. It is safe for concurrent use.
type Server struct {
	Config
	metrics    *metrics
	rules      atomic.Pointer[rules.Rules]
	reloading  sync.Mutex
	lastReload atomic.Pointer[reload] // nil where there is no file of rules
	history    *history.Log
	index      search.Index
	routes     map[string]route // by path, relative to the route prefix
	group      route            // of all paths below /metrics/job
	static     route            // of all paths below /static
	groupPage  route            // of all paths below /groups
	apiGroup   route            // of all paths below /api/v1/groups
	apiOptions http.Handler     // of OPTIONS for all paths below /api/v1
}

// route is one path's handlers by method.
type route map[string]http.Handler

// New returns a server. It reserves the names of the gateway's own metrics in
// the store.
func New(config Config) (*Server, error) {
	s := &Server{Config: config, metrics: newMetrics(config.Store.Totals, config.Storage.Collectors()), history: newHistory(config.Store)}
	writer, err := exposition.NewWriter()
	if err != nil {
		return nil, err
	}
	scrape := s.scrapeHandler(writer)
	if s.LoadRules != nil {
		s.metrics.registry.MustRegister(s.metrics.reloadSuccessful, s.metrics.reloadTime)
	}
	if s.OwnMetricsPath == "" {
		own, err := s.metrics.types()
		if err != nil {
			return nil, err
		}
		s.Store.Reserve(own)
	}
	if err := s.loadRules(); err != nil {
		return nil, err
	}

	counted := s.metrics.counted
	push := newPusher(s)
	s.group = route{
		http.MethodPut:    s.metrics.measuredPush(http.MethodPut, push.handler()),
		http.MethodPost:   s.metrics.measuredPush(http.MethodPost, push.handler()),
		http.MethodDelete: counted("delete", http.HandlerFunc(s.deleteGroup)),
	}
	get := func(h http.Handler) route { return route{http.MethodGet: h} }
	s.static = get(counted("static", s.Pages.Static()))
	s.apiOptions = counted("api/v1/options", withCORS(func(http.ResponseWriter, *http.Request) {}))
	pages := newPages(s)
	page := func(h http.Handler) http.Handler { return counted("status", h) }
	s.groupPage = get(page(pages.onceLoaded(pages.group)))
	s.apiGroup = get(counted("api/v1/groups", s.whenLoaded(withCORS(s.apiOneGroup))))
	s.routes = map[string]route{
		"/-/healthy": get(counted("healthy", http.HandlerFunc(answerOK))),
		"/-/ready":   get(counted("ready", http.HandlerFunc(s.ready))),
		"/-/quit":    s.quitRoute(),
		"/-/reload":  s.reloadRoute(),
		"/":          get(page(pages.onceLoaded(pages.groups))),
		"/status":    get(page(pages.page(pages.status))),
		"/help":      get(page(pages.page(s.Pages.Help))),
		"/delete":    {http.MethodGet: page(pages.onceLoaded(pages.confirmation)), http.MethodPost: page(pages.onceLoaded(pages.delete))},
		"/api/v1/groups": {
			http.MethodGet:    counted("api/v1/groups", s.whenLoaded(withCORS(s.apiGroups))),
			http.MethodDelete: counted("api/v1/groups", s.whenLoaded(http.HandlerFunc(s.apiDeleteGroups))),
		},
		apiPushPath:       {http.MethodPost: counted("api/v1/push", http.HandlerFunc(push.many))},
		"/api/v1/metrics": get(counted("api/v1/metrics", s.whenLoaded(withCORS(s.apiMetrics)))),
		"/api/v1/status":  get(counted("api/v1/status", withCORS(s.apiStatus))),
	}
	if s.AdminAPI {
		s.routes["/api/v1/admin/wipe"] = route{http.MethodPut: counted("wipe", http.HandlerFunc(s.wipe))}
		s.routes["/api/v1/admin/backup"] = get(counted("backup", http.HandlerFunc(s.backup)))
	}
	if s.OwnMetricsPath != "" {
		if s.OwnMetricsPath == s.TelemetryPath || s.find(s.OwnMetricsPath) != nil {
			return nil, fmt.Errorf("the path for own metrics, %s, is taken: choose another", s.OwnMetricsPath)
		}
		s.routes[s.OwnMetricsPath] = get(s.ownMetrics())
	}
	s.routes[s.TelemetryPath] = get(s.whenLoaded(scrape))
	return s, nil
}

// target returns the options that the request's path begins with, and the path
// behind them; see pushoptions.CutPrefix. Only pushes and deletes have such options.
func (s *Server) target(r *http.Request) (options []string, path string) {
	path = s.relativePath(r)
	options, rest, found := pushoptions.CutPrefix(path)
	if found && (isGroupPath(rest) || rest == apiPushPath) {
		return options, rest
	}
	return nil, path
}

// relativePath returns the request's path behind the route prefix, beginning with
// a single slash; empty where the prefix is missing.
func (s *Server) relativePath(r *http.Request) string {
	path, ok := strings.CutPrefix(r.URL.Path, s.RoutePrefix)
	if !ok || path != "" && path[0] != '/' {
		return ""
	}
	// Clients join a base URL that ends in a slash with a path that begins with
	// one.
	for strings.HasPrefix(path, "//") {
		path = path[1:]
	}
	return cmp.Or(path, "/")
}

// ServeHTTP finds the route of a request by its path and method.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, path := s.target(r)
	if r.Method == http.MethodOptions && strings.HasPrefix(path, "/api/v1/") {
		s.apiOptions.ServeHTTP(w, r)
		return
	}
	found := s.find(path)
	if found == nil {
		s.notFound(w, r, path)
		return
	}
	if handler, ok := found[r.Method]; ok {
		handler.ServeHTTP(w, r)
		return
	}
	allowed := strings.Join(slices.Sorted(maps.Keys(found)), ", ") + ", " + http.MethodOptions
	w.Header().Set("Allow", allowed)
	if r.Method != http.MethodOptions {
		http.Error(w, "Method Not Allowed: "+r.Method+" is not one of "+allowed, http.StatusMethodNotAllowed)
	}
}

// find returns the route of a path, nil where there is none.
func (s *Server) find(path string) route {
	if found, ok := s.routes[path]; ok {
		return found
	}
	switch {
	case isGroupPath(path):
		return s.group
	case strings.HasPrefix(path, "/debug/pprof/"):
		return route{http.MethodGet: http.HandlerFunc(s.profile)}
	case strings.HasPrefix(path, groupsPrefix):
		return s.groupPage
	case strings.HasPrefix(path, apiGroupsPrefix):
		return s.apiGroup
	case strings.HasPrefix(path, "/static/"):
		return s.static
	}
	return nil
}

// notFound answers paths without a route. One that only ends in a slash too many
// is sent to where it belongs.
func (s *Server) notFound(w http.ResponseWriter, r *http.Request, path string) {
	if path == "/debug/pprof" {
		http.Redirect(w, r, s.RoutePrefix+"/debug/pprof/", http.StatusMovedPermanently)
		return
	}
	if trimmed := strings.TrimRight(path, "/"); trimmed != path && trimmed != "" && s.find(trimmed) != nil {
		target := *r.URL
		target.Path, target.RawPath = s.RoutePrefix+trimmed, ""
		status := http.StatusPermanentRedirect
		if r.Method == http.MethodGet {
			status = http.StatusMovedPermanently
		}
		http.Redirect(w, r, target.RequestURI(), status)
		return
	}
	if _, rest, found := pushoptions.CutPrefix(path); found {
		http.Error(w, fmt.Sprintf("404 page not found: behind /with/ come options, each as name=value, and then %s… or %s, but here comes %q",
			jobPath, apiPushPath, metric.Shorten(rest)), http.StatusNotFound)
		return
	}
	http.NotFound(w, r)
}

const plainText = "text/plain; charset=utf-8"

func answerOK(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", plainText)
	_, _ = w.Write([]byte("OK")) // a client that is gone needs no answer
}

// quitRoute answers all methods, to say in words what is wrong with the others.
func (s *Server) quitRoute() route {
	answer := func(status int, text string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", plainText)
			w.WriteHeader(status)
			_, _ = w.Write([]byte(text))
			if status == http.StatusOK {
				s.Quit()
			}
		})
	}
	quit := answer(http.StatusForbidden, "Lifecycle API is not enabled.")
	if s.Quit != nil {
		quit = answer(http.StatusOK, "Requesting termination... Goodbye!")
	}
	return route{
		http.MethodPut:  quit,
		http.MethodPost: quit,
		http.MethodGet:  answer(http.StatusMethodNotAllowed, "Only POST or PUT requests allowed."),
	}
}

// profile serves runtime profiles.
func (s *Server) profile(w http.ResponseWriter, r *http.Request) {
	path := s.relativePath(r)
	switch strings.TrimPrefix(path, "/debug/pprof/") {
	case "cmdline":
		pprof.Cmdline(w, r)
	case "profile":
		pprof.Profile(w, r)
	case "symbol":
		pprof.Symbol(w, r)
	case "trace":
		pprof.Trace(w, r)
	default:
		// pprof finds the profile's name by a path without prefix.
		r2 := r.Clone(r.Context())
		r2.URL.Path = path
		pprof.Index(w, r2)
	}
}
