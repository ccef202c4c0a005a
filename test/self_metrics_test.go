package test

import (
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSelfMetricsPath: with a path of their own for the gateway's metrics, their names
// are free for pushes.
func TestSelfMetricsPath(t *testing.T) {
	t.Parallel()
	const body = "# TYPE go_goroutines counter\ngo_goroutines 7\n" +
		"# TYPE pushgateway_groups gauge\npushgateway_groups 42\n" +
		"# TYPE pushgateway_pushes_rejected_total histogram\npushgateway_pushes_rejected_total_bucket{le=\"+Inf\"} 1\n" +
		"pushgateway_pushes_rejected_total_sum 1\npushgateway_pushes_rejected_total_count 1\n"
	start(t).rejected(t, http.MethodPut, "/metrics/job/a", body, "go_goroutines", "own metrics")

	p := start(t, "--web.own-metrics-path=/own", "--web.route-prefix=/pg", "--config.file="+rulesFile(t))
	p.push(t, http.MethodPut, "/pg/metrics/job/a", body)
	pushed, self := p.get(t, "/pg/metrics"), p.get(t, "/pg/own")
	wantText(t, pushed, "# TYPE go_goroutines counter\n", `go_goroutines{instance="",job="a"} 7`, `pushgateway_groups{instance="",job="a"} 42`)
	for line := range strings.Lines(pushed) {
		if line[0] != '#' && !strings.Contains(line, `job="a"`) {
			t.Errorf("/metrics has a series that was not pushed: %s", line)
		}
	}
	wantText(t, self, "# TYPE go_goroutines gauge\n", "\npushgateway_groups 1\n", "\nprocess_start_time_seconds ",
		"\npushgateway_build_info{", "\npushgateway_pushes_rejected_total{reason=\"option\"} 0\n",
		"\npushgateway_groups_expired_total 0\n", "\npushgateway_pushes_replayed_total 0\n",
		"\npushgateway_timestamps_dropped_total 0\n", "\npushgateway_config_last_reload_successful 1\n",
		"\npushgateway_config_last_reload_success_timestamp_seconds ")
	if strings.Contains(self, `job="a"`) {
		t.Errorf("pushed metrics are among the gateway's own:\n%s", self)
	}
	if a := p.do(t, http.MethodGet, "/own", ""); a.status != http.StatusNotFound {
		t.Errorf("without the route prefix: status %d, want 404", a.status)
	}
	if a := p.do(t, http.MethodPut, "/pg/own", ""); a.status != http.StatusMethodNotAllowed {
		t.Errorf("PUT: status %d, want 405", a.status)
	}

	elsewhere := start(t, "--web.own-metrics-path=/metrics", "--web.telemetry-path=/pushed")
	wantText(t, elsewhere.get(t, "/metrics"), "pushgateway_groups 0\n")
	if got := elsewhere.get(t, "/pushed"); got != "" {
		t.Errorf("nothing was pushed, but exposed is\n%s", got)
	}
}

// TestSelfMetricsPathInUse: the gateway does not start with a path that serves
// something else.
func TestSelfMetricsPathInUse(t *testing.T) {
	t.Parallel()
	for _, path := range []string{
		"/metrics", "metrics/", "/", "/-/ready", "/status", "/api/v1/metrics", "/api/v1/push",
		"/metrics/job/a", "/groups/x", "/static/own", "/debug/pprof/own",
	} {
		t.Run(path, func(t *testing.T) {
			out := startFails(t, "--web.own-metrics-path="+path)
			wantText(t, out, strings.Trim(path, "/"), "own metrics", "already in use")
		})
	}
	t.Run("telemetry path", func(t *testing.T) {
		wantText(t, startFails(t, "--web.own-metrics-path=/x", "--web.telemetry-path=/x"), "/x", "already in use")
	})
}

// TestMetricsPage: docs/METRICS.md lists each of the gateway's own metrics.
func TestMetricsPage(t *testing.T) {
	t.Parallel()
	_, auth := security.block(t, "file", "auth.yml")
	file := filepath.Join(t.TempDir(), "auth.yml")
	writeFile(t, file, []byte(auth))
	p := start(t, "--auth.file="+file, "--config.file="+rulesFile(t))
	exposed := p.do(t, http.MethodGet, "/metrics", "", "Authorization", "Bearer pgw_example_prometheus").body
	wantText(t, exposed, "# TYPE pushgateway_auth_denied_total ", "# TYPE pushgateway_config_last_reload_successful ")
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\w+) `).FindAllStringSubmatch(exposed, -1) {
		name := m[1]
		if strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") {
			continue
		}
		if !strings.Contains(pages(t)["docs/METRICS.md"], "`"+name+"`") {
			t.Errorf("docs/METRICS.md does not list %s", name)
		}
	}
}
