package web

import (
	"net/http"
	"strings"
	"testing"

	"pushgateway/internal/exposition"
)

func TestNegotiateEncoding(t *testing.T) {
	for _, c := range []struct {
		accept string
		want   exposition.Encoding
	}{
		{"", exposition.Identity},
		{"identity", exposition.Identity},
		{"gzip", exposition.Gzip},
		{"GZIP", exposition.Gzip},
		{"zstd", exposition.Zstd},
		{"zstd, gzip", exposition.Gzip},
		{"gzip;q=0.5, zstd", exposition.Zstd},
		{"gzip;q=0", exposition.Identity},
		{"gzip; q=0, zstd; q=0.1", exposition.Zstd},
		{"br, deflate", exposition.Identity},
		{"gzip;q=nonsense", exposition.Identity},
		{"gzip;q=0.5, identity;q=1", exposition.Identity},
		{"gzip;q=0.5, identity", exposition.Identity},
		{"identity;q=0.5, gzip;q=0.5", exposition.Gzip},
		{"identity;q=0, zstd;q=0.1", exposition.Zstd},
		{"identity;q=0", exposition.Identity},
	} {
		t.Run(c.accept, func(t *testing.T) {
			if got := negotiateEncoding(http.Header{"Accept-Encoding": {c.accept}}); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// TestReservedNames pushes what collides with the gateway's own metrics, after every kind of
// request has been made. Pushes that upstream rejects are rejected. Other pushes are
// accepted, and the gateway's own metrics of these names are not exposed.
func TestReservedNames(t *testing.T) {
	s, _ := newTestServer(t, func(c *Config) { c.AdminAPI = true })
	for _, request := range []struct{ method, path string }{
		{"PUT", "/metrics/job/a"}, {"POST", "/metrics/job/a"}, {"DELETE", "/metrics/job/a"}, {"PUT", "/metrics/job/a/x"},
		{"GET", "/metrics"}, {"GET", "/"}, {"GET", "/api/v1/metrics"}, {"GET", "/api/v1/status"}, {"OPTIONS", "/api/v1/x"},
		{"PUT", "/api/v1/admin/wipe"}, {"GET", "/-/ready"}, {"GET", "/static/x"},
	} {
		do(s, request.method, request.path, "")
	}
	families, err := s.metrics.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		body := "# TYPE " + f.GetName() + " summary\n" + f.GetName() + "_sum 1\n"
		if strings.EqualFold(f.GetType().String(), "summary") {
			body = "# TYPE " + f.GetName() + " gauge\n" + f.GetName() + " 1\n"
		}
		name, _, _ := strings.Cut(f.GetName(), "_")
		upstream := name == "go" || name == "process" || strings.HasPrefix(f.GetName(), "pushgateway_http_") ||
			f.GetName() == "pushgateway_build_info"
		want := map[bool]int{true: 400, false: 200}[upstream]
		if w := do(s, "PUT", "/metrics/job/x", body); w.Code != want {
			t.Errorf("%s: %d, want %d", f.GetName(), w.Code, want)
		}
		exposed := do(s, "GET", "/metrics", "").Body.String()
		if n := strings.Count(exposed, "# TYPE "+f.GetName()+" "); n != 1 {
			t.Errorf("%s is exposed %d times", f.GetName(), n)
		}
		if strings.Contains(exposed, "\n"+f.GetName()+`_sum{instance="",job="x"}`) != (want == 200 && strings.Contains(body, "_sum")) {
			t.Errorf("%s: %s", body, exposed)
		}
	}
}

// TestOwnHelpWins pushes a metric that the gateway has itself, as every client library's default
// registry does.
func TestOwnHelpWins(t *testing.T) {
	s, _ := newTestServer(t, nil)
	const pushed = "# HELP go_goroutines Another text.\n# TYPE go_goroutines gauge\ngo_goroutines 7\n"
	if w := do(s, "PUT", "/metrics/job/a", pushed); w.Code != 200 {
		t.Fatal(w.Code, w.Body)
	}
	body := do(s, "GET", "/metrics", "").Body.String()
	if strings.Count(body, "# HELP go_goroutines Number of goroutines") != 1 || strings.Contains(body, "Another text") ||
		!strings.Contains(body, "\ngo_goroutines{instance=\"\",job=\"a\"} 7\n") {
		t.Error(body)
	}
}
