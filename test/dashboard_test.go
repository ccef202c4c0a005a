package test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"pushgateway/internal/pgtest"
)

// A dashboardQuery is a query of the Grafana dashboard.
type dashboardQuery struct{ panel, expr string }

// dashboardQueries returns the queries in deploy/grafana, with Grafana's variables replaced.
func dashboardQueries(t *testing.T) []dashboardQuery {
	t.Helper()
	var dashboard struct {
		Panels []struct {
			Title, Type string
			Targets     []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(readFile(t, filepath.Join(root, "deploy", "grafana", "dashboard.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	variables := strings.NewReplacer("$job", ".*", "$instance", ".*", "$__rate_interval", "5s")
	var queries []dashboardQuery
	for _, panel := range dashboard.Panels {
		if len(panel.Targets) == 0 && panel.Type != "row" {
			t.Errorf("panel %s has no query", panel.Title)
		}
		for _, target := range panel.Targets {
			queries = append(queries, dashboardQuery{panel.Title, variables.Replace(target.Expr)})
		}
	}
	if len(queries) == 0 {
		t.Fatal("the dashboard has no queries")
	}
	return queries
}

// TestDashboard: each query of the dashboard returns data in a Prometheus that scrapes a gateway
// with a file and replicas with a database, all under load.
func TestDashboard(t *testing.T) {
	t.Parallel()
	const token = "pgw_dashboard"
	hash := sha256.Sum256([]byte(token))
	dir := t.TempDir()
	auth := filepath.Join(dir, "auth.yml")
	writeFile(t, auth, fmt.Appendf(nil, "users: [{name: a, bearer_token_sha256: %s, allow: [push], match: '{job=\"a\"}'}]\n"+
		"anonymous: {allow: [push, delete, scrape, read]}\n", hex.EncodeToString(hash[:])))
	file := gateway(t, filepath.Join(dir, "file.db"), "--auth.file="+auth,
		"--storage.max-groups=1000", "--storage.max-series=10000", "--storage.max-bytes=1000000")
	shared := startReplicas(t, sameURL(pgtest.Start(t, pgtest.Config{}).URL()))

	config := "global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n" +
		"- {job_name: pushgateway, honor_labels: true, static_configs: [{targets: [" + file.Addr + "]}]}\n" +
		"- job_name: replicas\n  metrics_path: /self\n  static_configs:\n"
	for _, p := range shared.each {
		config += "  - targets: [" + p.Addr + "]\n"
	}
	prom := launchPrometheus3(t, config)

	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	defer load.Wait()
	defer stop()
	load.Go(func() {
		for ctx.Err() == nil {
			for _, request := range []struct {
				program            *program
				method, path, body string
				header             []string
			}{
				{file, "PUT", "/metrics/job/a", "x 1\n", nil},
				{file, "POST", "/metrics/job/expires?ttl=1s", "x 1\n", nil},
				{file, "POST", "/metrics/job/sum?merge=sum", "# TYPE c_total counter\nc_total 1\n", []string{"Idempotency-Key", "same"}},
				{file, "POST", "/metrics/job/stamped?timestamps=drop", "x 1 1000\n", nil},
				{file, "POST", "/metrics/job/failing", "x 1 1000\n", nil},
				{file, "POST", "/api/v1/push", "x{job=\"bulk\"} 1\n", nil},
				{file, "DELETE", "/metrics/job/deleted", "", nil},
				{file, "POST", "/metrics/job/a", "x 1\n", []string{"Authorization", "Bearer wrong"}},
				{file, "POST", "/metrics/job/b", "x 1\n", []string{"Authorization", "Bearer " + token}},
				{shared.each[0], "PUT", "/metrics/job/a", "x 1\n", nil},
				{shared.each[1], "PUT", "/metrics/job/b", "x 1\n", nil},
			} {
				if _, err := request.program.try(request.method, request.path, request.body, request.header...); err != nil {
					t.Errorf("%s %s: %v", request.method, request.path, err)
					return
				}
			}
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond): // the pace of the load
			}
		}
	})

	prom.wantQuery(t, `count(up == 1)`, fmt.Sprintf(`{} %d`, 1+len(shared.each)))
	prom.wantQuery(t, `count by (job) (push_failure_time_seconds > push_time_seconds)`, `{job="failing"} 1`)
	for _, q := range dashboardQueries(t) {
		until(t, fmt.Sprintf("panel %q has data: %s", q.panel, q.expr), func() bool { return len(prom.query(t, q.expr)) > 0 })
	}
}

// TestDashboardShowsAllMetrics: the dashboard has a panel for each of the gateway's own metrics
// but those that only make sense in an alert.
func TestDashboardShowsAllMetrics(t *testing.T) {
	t.Parallel()
	elsewhere := regexp.MustCompile(`_last_reload_|_timestamp_seconds$|_lookups_total|_notifications_total|_sequence$|_repaired_groups_` +
		`|_records?_(bytes_)?written_total|_requests_in_flight`)
	shown := map[string]bool{}
	for _, q := range dashboardQueries(t) {
		for _, name := range selectedNames(t, q.expr) {
			shown[familyName(name)] = true
		}
	}
	exposed := exposedNames(t)
	for name := range exposed {
		if strings.HasPrefix(name, "pushgateway_") && !shown[familyName(name)] && !elsewhere.MatchString(name) {
			t.Errorf("no panel shows %s", name)
		}
	}
}

// familyName returns the name of the histogram or summary that a sample belongs to, or else the
// sample's name.
func familyName(sample string) string {
	return regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(sample, "")
}
