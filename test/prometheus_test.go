package test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/push"
)

// startPrometheus runs a real Prometheus server that scrapes the gateway as the README
// says.
func startPrometheus(t *testing.T, gateway *program, args ...string) *program {
	t.Helper()
	return startPrometheusEvery(t, "500ms", gateway.Addr, args...)
}

// startPrometheusEvery scrapes the address at an interval.
func startPrometheusEvery(t *testing.T, interval, addr string, args ...string) *program {
	t.Helper()
	dir := t.TempDir()
	config := fmt.Sprintf(`
global:
  scrape_interval: %s
  scrape_timeout: %[1]s
scrape_configs:
  - job_name: pushgateway
    honor_labels: true
    static_configs:
      - targets: [%q]
`, interval, addr)
	path := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	args = append([]string{
		"--config.file=" + path,
		"--storage.tsdb.path=" + filepath.Join(dir, "data"),
		"--web.listen-address=127.0.0.1:0",
	}, args...)
	return launch(t, exec.Command("prometheus", args...))
}

// A series is one result of an instant query, with a value or a histogram.
type series struct {
	Metric    map[string]string
	Value     []any // time, "value"
	Histogram []any // time, histogram
}

// query returns nothing while the server is not ready yet.
func (p *program) query(t *testing.T, expr string) []series {
	t.Helper()
	a := p.do(t, http.MethodGet, "/api/v1/query?query="+url.QueryEscape(expr), "")
	if a.status == http.StatusServiceUnavailable {
		return nil
	}
	var result struct {
		Status string
		Data   struct{ Result []series }
	}
	if err := json.Unmarshal([]byte(a.body), &result); err != nil || result.Status != "success" {
		t.Fatalf("query %s: %d %s %v", expr, a.status, a.body, err)
	}
	return result.Data.Result
}

// wantQuery waits until the server answers with exactly these series in normal form.
func (p *program) wantQuery(t *testing.T, expr string, want ...string) {
	t.Helper()
	slices.Sort(want)
	var got []string
	defer func() {
		if t.Failed() {
			t.Logf("%s: got\n%s\nwant\n%s", expr, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}()
	until(t, "Prometheus answers "+expr, func() bool {
		got = nil
		for _, s := range p.query(t, expr) {
			got = append(got, s.normal(t))
		}
		slices.Sort(got)
		return slices.Equal(got, want)
	})
}

func (s series) normal(t *testing.T) string {
	t.Helper()
	line := s.Metric["__name__"] + "{"
	for i, name := range slices.Sorted(maps.Keys(s.Metric)) {
		if name != "__name__" {
			if i > 1 || line[len(line)-1] != '{' {
				line += ","
			}
			line += fmt.Sprintf("%s=%q", name, s.Metric[name])
		}
	}
	line += "} "
	if s.Histogram != nil {
		return line + strings.Join(strings.Fields(toJSON(t, s.Histogram[1])), "")
	}
	return line + fmt.Sprint(s.Value[1])
}

// TestPrometheusHasWhatClientsPush: the pushes of the README's three clients arrive in
// Prometheus with the pushed labels and no others.
func TestPrometheusHasWhatClientsPush(t *testing.T) {
	t.Parallel()
	p := start(t)
	prom := startPrometheus(t, p)
	readme.run(t, "curl", root, p.Addr)
	readme.run(t, "python", root, p.Addr)
	readme.run(t, "go", root, p.Addr)

	prom.wantQuery(t, `{job="myjob",__name__!~"push_.*"}`,
		`my_metric{instance="myinstance",job="myjob",label="value"} 1`)
	// The gateway adds instance="", which keeps Prometheus from adding the
	// gateway's own address.
	prom.wantQuery(t, `{job="backup",__name__=~".*_(bytes|total|bucket|sum|count)"}`,
		`backup_size_bytes{database="orders",job="backup"} 1118208`,
		`backup_tables_total{database="orders",job="backup"} 3`,
		`backup_table_duration_seconds_bucket{database="orders",job="backup",le="0.1"} 1`,
		`backup_table_duration_seconds_bucket{database="orders",job="backup",le="1"} 2`,
		`backup_table_duration_seconds_bucket{database="orders",job="backup",le="10"} 3`,
		`backup_table_duration_seconds_bucket{database="orders",job="backup",le="+Inf"} 3`,
		`backup_table_duration_seconds_sum{database="orders",job="backup"} 4.95`,
		`backup_table_duration_seconds_count{database="orders",job="backup"} 3`)
	prom.wantQuery(t, `import_rows`, `import_rows{job="import",table="customers"} 1234`)
	prom.wantQuery(t, `count by (job) (push_time_seconds > 0)`,
		`{job="myjob"} 1`, `{job="backup"} 1`, `{job="import"} 1`)
	prom.wantQuery(t, `push_failure_time_seconds != 0`)

	// A deleted group is gone from the next scrape on.
	if a := p.do(t, http.MethodDelete, "/metrics/job/import/table/customers", ""); a.status != http.StatusAccepted {
		t.Errorf("DELETE: status %d, want 202", a.status)
	}
	prom.wantQuery(t, `import_rows`)
	prom.wantQuery(t, `up`, fmt.Sprintf(`up{instance=%q,job="pushgateway"} 1`, p.Addr))
}

// TestPrometheusHasNativeHistograms: only protobuf carries native histograms, so their
// arrival proves that Prometheus scraped protobuf. The other types must arrive, too.
func TestPrometheusHasNativeHistograms(t *testing.T) {
	t.Parallel()
	p := start(t)
	prom := startPrometheus(t, p, "--enable-feature=native-histograms")

	native := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:                        "transfer_seconds",
		Help:                        "Time of a transfer.",
		NativeHistogramBucketFactor: 2,
	})
	for _, v := range []float64{0, 1, 1, 3, -6} {
		native.Observe(v)
	}
	if err := push.New(p.URL, "transfer").Grouping("zone", "north").Collector(native).Push(); err != nil {
		t.Fatal(err)
	}
	p.push(t, http.MethodPut, "/metrics/job/types", `
# TYPE c_total counter
c_total 7
# TYPE g gauge
g -2.5
# TYPE h histogram
h_bucket{le="0.5"} 1
h_bucket{le="+Inf"} 3
h_sum 4.5
h_count 3
# TYPE s summary
s{quantile="0.5"} 6
s_sum 9
s_count 2
# TYPE u untyped
u 8
`)

	prom.wantQuery(t, `transfer_seconds`,
		`transfer_seconds{job="transfer",zone="north"} `+
			`{"buckets":[[1,"-8","-4","1"],[3,"-2.938735877055719e-39","2.938735877055719e-39","1"],[0,"0.5","1","2"],[0,"2","4","1"]],`+
			`"count":"5","sum":"-1"}`)
	prom.wantQuery(t, `histogram_quantile(0.5, transfer_seconds)`, `{job="transfer",zone="north"} 0.625`)
	prom.wantQuery(t, `{job="types",__name__!~"push_.*"}`,
		`c_total{job="types"} 7`,
		`g{job="types"} -2.5`,
		`h_bucket{job="types",le="0.5"} 1`,
		`h_bucket{job="types",le="+Inf"} 3`,
		`h_sum{job="types"} 4.5`,
		`h_count{job="types"} 3`,
		`s{job="types",quantile="0.5"} 6`,
		`s_sum{job="types"} 9`,
		`s_count{job="types"} 2`,
		`u{job="types"} 8`)
	prom.wantQuery(t, `up`, fmt.Sprintf(`up{instance=%q,job="pushgateway"} 1`, p.Addr))
}

// TestPromtoolFindsNothing: promtool has no complaint about names, types and help texts.
// The requests before it make the gateway expose most of its own metrics.
func TestPromtoolFindsNothing(t *testing.T) {
	t.Parallel()
	p := start(t)
	p.push(t, http.MethodPut, "/metrics/job/a", "# HELP rows Rows.\n# TYPE rows gauge\nrows 1\n")
	p.push(t, http.MethodPost, "/metrics/job/a", "# HELP jobs_total Jobs.\n# TYPE jobs_total counter\njobs_total 1\n")
	p.do(t, http.MethodPut, "/metrics/job/a", "# TYPE rows gauge\nrows 1 1700000000000\n")
	p.do(t, http.MethodPut, "/metrics/job/a", "?")
	p.do(t, http.MethodDelete, "/metrics/job/b", "")
	p.get(t, "/metrics", "Accept-Encoding", "gzip")
	p.get(t, "/api/v1/metrics")

	lint := command(t, "promtool", "check", "metrics")
	lint.Stdin = strings.NewReader(p.get(t, "/metrics"))
	if out, code := runToEnd(t, lint); code != 0 || out != "" {
		t.Errorf("promtool: exit code %d\n%s", code, out)
	}
}
