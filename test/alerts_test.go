package test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/prometheus/promql/parser"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"

	"pushgateway/internal/metric"
	"pushgateway/internal/pgtest"
)

// alertFiles are what Prometheus loads as rule_files, in deploy/prometheus.
var alertFiles = []string{"alerts.yaml", "recording_rules.yaml"}

// TestAlerts: promtool accepts the rules, and their unit tests pass, as the page there says.
func TestAlerts(t *testing.T) {
	t.Parallel()
	document("deploy/prometheus/README.md").runWith(t, "promtool", filepath.Join(root, "deploy", "prometheus"))
}

// TestAlertsHaveTests: each alert fires in a unit test.
func TestAlertsHaveTests(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(root, "deploy", "prometheus")
	tests := string(readFile(t, filepath.Join(dir, "tests.yaml"))) + string(readFile(t, filepath.Join(dir, "tests_days.yaml")))
	for _, name := range alertNames(t) {
		if !strings.Contains(tests, fmt.Sprintf(`labels: 'ALERTS{alertname=%q, alertstate="firing"`, name)) {
			t.Errorf("no unit test has alert %s fire", name)
		}
	}
}

// TestAlertsAreDocumented: docs/ALERTS.md has a section for each alert, in the same order.
func TestAlertsAreDocumented(t *testing.T) {
	t.Parallel()
	var got []string
	for _, m := range regexp.MustCompile(`(?m)^### (Pushgateway\w+)$`).FindAllStringSubmatch(pages(t)["docs/ALERTS.md"], -1) {
		got = append(got, m[1])
	}
	if want := alertNames(t); !slices.Equal(got, want) {
		t.Errorf("docs/ALERTS.md has sections for\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func alertNames(t *testing.T) []string {
	t.Helper()
	var names []string
	text := string(readFile(t, filepath.Join(root, "deploy", "prometheus", "alerts.yaml")))
	for _, m := range regexp.MustCompile(`(?m)^ +- alert: (\w+)$`).FindAllStringSubmatch(text, -1) {
		names = append(names, m[1])
	}
	return names
}

// TestAlertsUseExistingMetrics: a gateway exposes each metric that the rules select.
func TestAlertsUseExistingMetrics(t *testing.T) {
	t.Parallel()
	exposed := exposedNames(t)
	for _, file := range alertFiles {
		text := string(readFile(t, filepath.Join(root, "deploy", "prometheus", file)))
		expressions := regexp.MustCompile(`(?m)^        expr: (?:\|\n((?:          .*\n)+)|(.*)\n)`).FindAllStringSubmatch(text, -1)
		if len(expressions) != strings.Count(text, "expr:") {
			t.Fatalf("%s: found %d of %d expressions", file, len(expressions), strings.Count(text, "expr:"))
		}
		for _, m := range expressions {
			for _, name := range selectedNames(t, m[1]+m[2]) {
				if !exposed[name] {
					t.Errorf("%s selects %s, which the gateway does not expose", file, name)
				}
			}
		}
	}
}

// selectedNames returns the names of the metrics that a PromQL expression selects.
func selectedNames(t *testing.T, expr string) []string {
	t.Helper()
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	var names []string
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		if selector, ok := node.(*parser.VectorSelector); ok {
			names = append(names, selector.Name)
		}
		return nil
	})
	return names
}

// exposedNames returns the sample names in the expositions of a gateway with a file that uses all
// features, and of one with a database.
func exposedNames(t *testing.T) map[string]bool {
	t.Helper()
	dir := t.TempDir()
	rules, auth := filepath.Join(dir, "rules.yml"), filepath.Join(dir, "auth.yml")
	writeFile(t, rules, []byte("rules: []\n"))
	writeFile(t, auth, []byte("users: []\nanonymous: {allow: [push, delete, scrape, read, admin]}\n"))
	p := gateway(t, filepath.Join(dir, "file.db"), "--config.file="+rules, "--auth.file="+auth)
	replica := startReplicas(t, []string{pgtest.Start(t, pgtest.Config{}).URL()}).each[0]
	replica.push(t, http.MethodPut, "/metrics/job/a", "x 1\n")
	p.push(t, http.MethodPut, "/metrics/job/a", "x 1\n")
	names := map[string]bool{}
	for _, exposition := range []string{p.get(t, "/metrics"), replica.get(t, "/metrics"), replica.get(t, "/self")} {
		for line := range strings.Lines(exposition) {
			if name := regexp.MustCompile(`^\w+`).FindString(line); name != "" {
				names[name] = true
			}
		}
	}
	return names
}

// TestFailureTime: docs/ALERTS.md says which rejections set push_failure_time_seconds, and their
// status.
func TestFailureTime(t *testing.T) {
	t.Parallel()
	rules := filepath.Join(t.TempDir(), "rules.yml")
	writeFile(t, rules, []byte("rules:\n- match: '{job=\"limit\"}'\n  series_limit: 1\n"))
	p := start(t, "--config.file="+rules, "--push.max-body-size=1KiB", "--storage.max-groups=20")
	p.push(t, http.MethodPut, "/metrics/job/counter",
		"# TYPE taken counter\ntaken 1\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_count 1\nh_sum 1\n")

	documented, statuses := map[string]string{}, map[string]string{}
	row := regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (yes|no|if the group exists) \\| (\\d+) \\| ")
	for _, m := range row.FindAllStringSubmatch(pages(t)["docs/ALERTS.md"], -1) {
		documented[m[1]], statuses[m[1]] = m[2], m[3]
	}
	for _, reason := range metric.Reasons() {
		if documented[string(reason)] == "" {
			t.Errorf("docs/ALERTS.md does not say whether a rejection with reason %s sets the time", reason)
		}
	}

	failed := func(group string) bool {
		return regexp.MustCompile(`(?m)^push_failure_time_seconds\{.*job="` + group + `".*\} [1-9]`).
			MatchString(p.do(t, http.MethodGet, "/metrics", "").body)
	}
	var badHelp strings.Builder
	if _, err := protodelim.MarshalTo(&badHelp, &dto.MetricFamily{
		Name: proto.String("a"), Help: proto.String("\xff"), Type: dto.MetricType_GAUGE.Enum(), Metric: []*dto.Metric{{Gauge: &dto.Gauge{}}},
	}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		reason, after, body string // after follows the path of the group
		header              []string
	}{
		{"encoding", "", "a 1\n", []string{"Content-Encoding", "gzip"}},
		{"malformed", "", "a b\n", nil},
		{"timestamp", "", "a 1 1234\n", nil},
		{"name", "", "a{__b=\"c\"} 1\n", nil},
		{"utf8", "", badHelp.String(), []string{"Content-Type", protobufType}},
		{"value", "?merge=sum", "# TYPE a counter\na -1\n", nil},
		{"reserved_label", "/le/1", "# TYPE r histogram\nr_bucket{le=\"+Inf\"} 1\nr_count 1\nr_sum 1\n", nil},
		{"duplicate_series", "", "a 1\na 2\n", nil},
		{"type_conflict", "", "# TYPE taken gauge\ntaken 1\n", nil},
		{"suffix_collision", "", "h_count 1\n", nil},
		{"size", "", strings.Repeat("a 1\n", 300), nil},
		{"option", "?ttl=x", "a 1\n", nil},
		{"merge", "?merge=sum", "untyped 1\n", nil},
		{"limit", "", "a 1\nb 1\n", nil},
		{"protocol", "", "x", []string{"X-Prometheus-Remote-Write-Version", "0.1.0", "Content-Encoding", "snappy"}},
	} {
		answer := p.do(t, http.MethodPost, "/metrics/job/"+c.reason+c.after, c.body, c.header...)
		if status := fmt.Sprint(answer.status); answer.status < 400 || status != statuses[c.reason] {
			t.Errorf("%s: status %s, docs/ALERTS.md says %s", c.reason, status, statuses[c.reason])
		}
		wantText(t, p.do(t, http.MethodGet, "/metrics", "").body,
			fmt.Sprintf("pushgateway_pushes_rejected_total{reason=%q} 1\n", c.reason))
		if want := documented[c.reason] == "yes"; failed(c.reason) != want {
			t.Errorf("%s: push_failure_time_seconds is set: %v, want %v", c.reason, !want, want)
		}
	}

	for i := 0; p.do(t, http.MethodPost, fmt.Sprint("/metrics/job/more", i), "a 1\n").status == http.StatusOK; i++ {
	}
	if answer := p.do(t, http.MethodPost, "/metrics/job/quota", "a 1\n"); fmt.Sprint(answer.status) != statuses["quota"] {
		t.Errorf("quota: status %d, docs/ALERTS.md says %s", answer.status, statuses["quota"])
	}
	if failed("quota") || documented["quota"] != "if the group exists" {
		t.Errorf("docs/ALERTS.md says %q of the reason quota; a group that did not exist has a failure time: %v",
			documented["quota"], failed("quota"))
	}
}
