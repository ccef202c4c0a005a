package web

import (
	"net/http"
	"strings"
	"testing"

	"pushgateway/internal/store"
)

// example returns a path that the row serves.
func (r *route) example() string {
	prefix, isPrefix := strings.CutSuffix(r.path, "*")
	switch {
	case !isPrefix:
		return r.path
	case prefix == jobBase64Path:
		return prefix + "YQ"
	case prefix == apiGroupsPath, prefix == groupsPath:
		return prefix + "job/a"
	case prefix == "/static/":
		return prefix + "page.css"
	}
	return prefix + "a"
}

// TestRouteTable walks the table: each row serves its path, enforces what it requires, and
// every row that changes something requires the same origin.
func TestRouteTable(t *testing.T) {
	s, _ := newTestServer(t, func(c *Config) {
		c.AdminAPI, c.Quit, c.SelfMetricsPath = true, func() {}, "/self"
	})
	disabled, _ := newTestServer(t, nil)
	loading, _ := newTestServer(t, func(c *Config) {
		c.AdminAPI, c.Store = true, store.New(store.Config{})
	})
	rows, err := s.table()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		t.Run(row.method+" "+row.path, func(t *testing.T) {
			requires := func(r requirement) bool { return row.requires&r != 0 }
			path := row.example()
			found := s.routes.find(path)[row.method]
			if row.method == http.MethodOptions {
				found = s.routes.findOptions(path)
			}
			if found == nil || found.path != row.path {
				t.Fatalf("%s is served by %+v", path, found)
			}
			changes := row.method != http.MethodGet && row.method != http.MethodOptions
			if changes != requires(sameOrigin|token) {
				t.Errorf("requires the same origin: %v", !changes)
			}
			if changes {
				w := do(s, row.method, path, "", "Sec-Fetch-Site", "cross-site")
				if w.Code != http.StatusForbidden {
					t.Errorf("cross-site: %d", w.Code)
				}
			}
			if w := do(disabled, row.method, path, ""); requires(adminAPI) && w.Code != http.StatusNotFound ||
				requires(lifecycleAPI) && w.Code != http.StatusForbidden {
				t.Errorf("not enabled: %d %s", w.Code, w.Body)
			}
			if w := do(loading, row.method, path, ""); requires(loaded) && w.Code != http.StatusServiceUnavailable {
				t.Errorf("while loading: %d %s", w.Code, w.Body)
			}
			if w := do(s, row.method, path, ""); requires(readable) != (w.Header().Get("Access-Control-Allow-Origin") == "*") {
				t.Errorf("headers %v", w.Header())
			}
			with := do(s, "PATCH", "/with/ttl=1h"+path, "").Code
			if want := http.StatusMethodNotAllowed; requires(pushOptions) != (with == want) && row.method != http.MethodOptions {
				t.Errorf("with options before the path: %d", with)
			}
		})
	}
}

// TestRoutes: each path answers with its status and text.
func TestRoutes(t *testing.T) {
	quit := 0
	s, _ := newTestServer(t, func(c *Config) { c.AdminAPI = true; c.Quit = func() { quit++ } })
	for _, c := range []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", "/-/healthy", 200, "OK"},
		{"GET", "/-/ready", 200, "OK"},
		{"HEAD", "/-/ready", 405, ""},
		{"GET", "/metrics", 200, "# TYPE go_goroutines gauge"},
		{"GET", "/metrics/", 301, ""},
		{"POST", "/metrics", 405, "GET, OPTIONS"},
		{"OPTIONS", "/metrics", 200, ""},
		{"GET", "/metrics/job/a", 405, "DELETE, POST, PUT, OPTIONS"},
		{"PUT", "/metrics/job", 404, ""},
		{"PUT", "/metrics/instance/x", 404, ""},
		{"PUT", "/metrics//job/a", 404, ""},
		{"PUT", "//metrics/job/a", 200, ""},
		{"POST", "/metrics/job/a/", 200, ""},
		{"DELETE", "/metrics/job/nobody", 202, "0 groups deleted"},
		{"DELETE", "/metrics/job/a", 202, "1 group deleted: {job=\"a\"}"},
		{"GET", "/", 200, "<!DOCTYPE html>"},
		{"GET", "/status", 200, "<!DOCTYPE html>"},
		{"GET", "/nothing", 404, ""},
		{"GET", "/a/../metrics", 404, ""},
		{"GET", "/static/nothing", 404, ""},
		{"GET", "/api/v1/status", 200, "build_information"},
		{"GET", "/api/v1/metrics", 200, `{"status":"success","data":[]}`},
		{"OPTIONS", "/api/v1/whatever", 200, ""},
		{"PUT", "/api/v1/admin/wipe", 202, ""},
		{"GET", "/api/v1/admin/wipe", 405, ""},
		{"GET", "/debug/pprof", 301, ""},
		{"POST", "/debug/pprof/", 405, ""},
		{"GET", "/debug/pprof/", 200, "goroutine"},
		{"GET", "/debug/pprof/cmdline", 200, ""},
		{"GET", "/debug/pprof/goroutine?debug=1", 200, "goroutine profile"},
		{"GET", "/-/quit", 405, "Only POST or PUT"},
		{"PUT", "/-/quit", 200, "Goodbye"},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			w := do(s, c.method, c.path, "")
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.body) {
				t.Errorf("%d %.200q, want %d %q", w.Code, w.Body, c.status, c.body)
			}
		})
	}
	if quit != 1 {
		t.Errorf("quit %d times", quit)
	}
	if allow := do(s, "POST", "/metrics", "").Header().Get("Allow"); allow != "GET, OPTIONS" {
		t.Errorf("Allow: %q", allow)
	}
	if cors := do(s, "OPTIONS", "/api/v1/x", "").Header().Get("Access-Control-Allow-Origin"); cors != "*" {
		t.Errorf("CORS: %q", cors)
	}
}

func TestRoutePrefix(t *testing.T) {
	s, _ := newTestServer(t, func(c *Config) { c.RoutePrefix = "/pg"; c.TelemetryPath = "/self" })
	for path, status := range map[string]int{
		"/pg/self": 200, "/pg/metrics": 404, "/self": 404, "/pgself": 404, "/pg": 301, "/pg/": 200, "/": 404,
		"/pg/api/v1/status": 200, "/pg/debug/pprof/goroutine": 200, "/pg/-/healthy": 200,
	} {
		if w := do(s, "GET", path, ""); w.Code != status {
			t.Errorf("%s: %d, want %d", path, w.Code, status)
		}
	}
	if w := do(s, "PUT", "/pg/metrics/job/a", "m 1"); w.Code != 200 {
		t.Errorf("push: %d %s", w.Code, w.Body)
	}
	if got := do(s, "GET", "/pg?state=ok", "").Header().Get("Location"); got != "pg/?state=ok" {
		t.Errorf("without the slash, to %q", got)
	}
}
