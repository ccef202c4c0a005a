package web

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"

	"pushgateway/internal/api"
	"pushgateway/internal/limits"
	"pushgateway/internal/metric"
	"pushgateway/internal/rules"
	"pushgateway/internal/store"
	"pushgateway/internal/webui"
)

// newTestServer returns a server whose log goes to the returned buffer.
func newTestServer(t testing.TB, change func(*Config)) (*Server, *bytes.Buffer) {
	t.Helper()
	pages, err := webui.New(webui.Config{External: url.URL{}, MetricsPath: "/metrics"})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	config := Config{
		Store: store.InMemory(), Logger: slog.New(slog.NewTextHandler(&log, nil)), Clock: store.SystemClock(),
		Validation: metric.LegacyValidation, TelemetryPath: "/metrics", Pages: pages, Status: api.Status{},
		Pacer: limits.NewPacer(limits.PushesPerTurn * runtime.GOMAXPROCS(0)),
	}
	if change != nil {
		change(&config)
	}
	if config.Rules == nil {
		config.Rules = newTestRules(t, &config, nil)
	}
	s, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	return s, &log
}

// newTestRules returns a manager of the rules that load returns. They decide when groups of
// the store expire.
func newTestRules(t testing.TB, c *Config, load func() (*rules.Rules, error)) *rules.Manager {
	t.Helper()
	manager, err := rules.NewManager(rules.ManagerConfig{Load: load, Now: c.Clock.Now, Logger: c.Logger, Apply: func(inUse *rules.Rules) {
		c.Store.SetExpiry(func(key metric.GroupingKey) metric.Expiry {
			return inUse.For(key).Expiry.Or(c.Defaults.Expiry)
		})
	}})
	if err != nil {
		t.Fatal(err)
	}
	return manager
}

// withJournal returns an open store with the journal.
func withJournal(t testing.TB, j store.Journal) *store.Store {
	t.Helper()
	s := store.New(store.Config{Journal: j})
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// do sends a request with headers, which are names and values by turns.
func do(s http.Handler, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}
