package web

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pushgateway/internal/access"
	"pushgateway/internal/httpserver"
	"pushgateway/internal/metric"
)

// serve wraps a row of the route table in the middleware that its requirements ask for.
func (s *Server) serve(row route) func(*httpserver.Response, *request) {
	handle := row.handle
	if row.requires&loaded != 0 {
		handle = s.requireLoaded(handle)
	}
	if row.requires&adminAPI != 0 && !s.config.AdminAPI {
		handle = func(http.ResponseWriter, *request) error { return errAdminDisabled }
	}
	if row.requires&lifecycleAPI != 0 && s.config.Quit == nil {
		handle = func(http.ResponseWriter, *request) error { return errLifecycleDisabled }
	}
	if row.requires&(sameOrigin|token) != 0 {
		handle = s.requireSameOrigin(handle, row.requires&token != 0)
	}
	handle = s.requireRight(row.needs, handle)
	if row.needs == pushGroup || row.needs == pushEach || row.needs == deleteGroup {
		handle = s.pace(handle)
	}
	count := func(*request, int, time.Time) {}
	if row.label != "" {
		count = s.metrics.counter(row)
	}
	return func(w *httpserver.Response, r *request) {
		started := time.Now()
		if row.requires&readable != 0 {
			allowOtherOrigins(w.Header())
		}
		if err := handle(w, r); err != nil {
			s.answerError(w, r, row.form, err)
		}
		count(r, w.Status(), started)
	}
}

// pace makes a request wait, before it costs anything, while many others begin.
func (s *Server) pace(h handler) handler {
	return func(w http.ResponseWriter, r *request) error {
		s.config.Pacer.WaitToBegin()
		return h(w, r)
	}
}

// requireRight identifies the sender of a request and rejects it if the right that it
// needs is missing. Whether a group exists makes no difference.
func (s *Server) requireRight(n need, h handler) handler {
	if n == free {
		return h
	}
	return func(w http.ResponseWriter, r *request) error {
		if err := s.identify(r); err != nil {
			return err
		}
		if err := s.check(n, r); err != nil {
			s.audit.denied(r, err)
			return err
		}
		return h(w, r)
	}
}

// identify sets the principal of a request. It counts and logs a wrong credential on every path.
// Otherwise, paths that need no right could be used to try passwords unnoticed.
func (s *Server) identify(r *request) (err error) {
	if r.principal, err = s.config.Guard.Identify(r.Request); err != nil {
		login, _, _ := r.BasicAuth()
		s.audit.failed(r, "authentication failed", err, login, "method", r.Method, "path", metric.Shorten(r.path))
	}
	return err
}

// check returns nil if the sender has the right that the request needs.
func (s *Server) check(n need, r *request) error {
	group := func(right access.Right) error {
		key, err := r.groupKey("/metrics/", s.config.Validation)
		if err != nil {
			// The handler says what is wrong with the path to those who might push there.
			return r.principal.Check(right)
		}
		return r.principal.CheckGroup(right, key)
	}
	switch n {
	case pushGroup:
		return group(access.Push)
	case pushEach:
		return r.principal.Check(access.Push)
	case deleteGroup:
		return group(access.Delete)
	case deleteEach:
		return r.principal.Check(access.Delete)
	case scrape:
		return r.principal.Check(access.Scrape)
	case read:
		return r.principal.Check(access.Read)
	case readDeleteEach:
		if err := r.principal.Check(access.Read); err != nil {
			return err
		}
		return r.principal.Check(access.Delete)
	case admin:
		return r.principal.Check(access.Admin)
	}
	return errUndecided
}

// requireLoaded answers 503 until the store has loaded the persisted groups: an incomplete
// set of groups would look complete.
func (s *Server) requireLoaded(h handler) handler {
	return func(w http.ResponseWriter, r *request) error {
		if s.config.Store.Status().Loading {
			if err := s.config.Store.Ready(); err != nil {
				return &loadingError{err}
			}
		}
		return h(w, r)
	}
}

// requireSameOrigin rejects requests that a page of another site makes a browser send.
// With a token, an Origin of null is allowed: browsers send it for forms of pages without
// referrers, and over plain HTTP nothing else says where a form came from.
func (s *Server) requireSameOrigin(h handler, token bool) handler {
	return func(w http.ResponseWriter, r *request) error {
		checked := r.Request
		if token && r.Header.Get("Sec-Fetch-Site") == "" && r.Header.Get("Origin") == "null" {
			checked = &http.Request{Method: r.Method, Host: r.Host, Header: http.Header{}, URL: r.URL}
		}
		if err := s.protection.Check(checked); err != nil {
			s.config.Logger.Warn("request from a page of another site rejected", "method", r.Method, "path", r.path,
				"remote_addr", r.RemoteAddr, "origin", r.Header.Get("Origin"))
			return errOtherSite
		}
		return h(w, r)
	}
}

// allowOtherOrigins lets pages of other origins read the answer.
func allowOtherOrigins(h http.Header) {
	h.Set("Access-Control-Allow-Headers", "Accept, Authorization, Content-Type, Origin")
	h.Set("Access-Control-Allow-Methods", "GET, POST, DELETE, OPTIONS")
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", "Date")
	h.Set("Cache-Control", "no-cache, no-store, must-revalidate")
}

// counter returns what counts the requests of a row, and measures them if it asks for
// that. promhttp's handlers do the same, but all three together cost as much as parsing a
// small push.
func (m *metrics) counter(row route) func(r *request, status int, started time.Time) {
	method := strings.ToLower(row.method)
	succeeded := sync.OnceValue(func() prometheus.Counter { return m.requests.WithLabelValues(row.label, "200", method) })
	count := func(_ *request, status int, _ time.Time) {
		if status == http.StatusOK {
			succeeded().Inc() // nearly all requests, without a look-up
		} else {
			m.requests.WithLabelValues(row.label, strconv.Itoa(status), method).Inc()
		}
	}
	if row.requires&measured == 0 {
		return count
	}
	duration := sync.OnceValue(func() prometheus.Observer { return m.pushDuration.WithLabelValues(method) })
	size := sync.OnceValue(func() prometheus.Observer { return m.pushSize.WithLabelValues(method) })
	return func(r *request, status int, started time.Time) {
		count(r, status, started)
		duration().Observe(time.Since(started).Seconds())
		size().Observe(requestSize(r.Request))
	}
}

// requestSize returns the approximate size of a request in bytes, as
// promhttp.InstrumentHandlerRequestSize computes it.
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
