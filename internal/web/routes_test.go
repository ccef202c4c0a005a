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
