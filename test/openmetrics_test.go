package test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// readOpenMetrics has client_python's parser, which is stricter than Prometheus', read an
// exposition, and prints each family's name, type and number of samples.
const readOpenMetrics = `
import sys
from prometheus_client.openmetrics.parser import text_fd_to_metric_families
for family in text_fd_to_metric_families(sys.stdin):
    print(family.name, family.type, len(family.samples))
`

// TestClientPythonReadsOpenMetrics: whatever is pushed, the exposition follows all rules of
// OpenMetrics. Metrics that would break one lose their type, but no sample.
func TestClientPythonReadsOpenMetrics(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, body string
		want       []string // lines
	}{
		{"counters", "# TYPE c_total counter\nc_total 1\n# TYPE d counter\nd 1\n", []string{"c counter 1", "d unknown 1"}},
		{"beside a gauge of the time of creation", "# TYPE c_total counter\nc_total 1\n# TYPE c_created gauge\nc_created 2\n",
			[]string{"c_total unknown 1", "c_created gauge 1"}},
		{
			"beside a gauge of the base name", "# TYPE c_total counter\nc_total 1\n# TYPE c gauge\nc 2\n",
			[]string{"c_total unknown 1", "c gauge 1"},
		},
		{"one counter is the base of another", "# TYPE c_total counter\nc_total 1\n# TYPE c_total_total counter\nc_total_total 2\n",
			[]string{"c counter 1", "c_total_total unknown 1"}},
		{"counters that cannot be", "# TYPE n_total counter\nn_total -1\n# TYPE x_total counter\nx_total NaN\n" +
			"# TYPE y_total counter\ny_total +Inf\n",
			[]string{"n_total unknown 1", "x_total unknown 1", "y counter 1"}},
		{"summaries", "# TYPE s summary\ns{quantile=\"0.5\"} 1\ns{quantile=\"1\"} NaN\ns_sum 2\ns_count 1\n" +
			"# TYPE n summary\nn{quantile=\"0.5\"} -1\nn_sum -2\nn_count 1\n",
			[]string{"s summary 4", "n unknown 1", "n_sum unknown 1", "n_count unknown 1"}},
		{"a summary beside a time of creation", "# TYPE s summary\ns_sum 2\ns_count 1\ns_created 3\n",
			[]string{"s_sum unknown 1", "s_count unknown 1", "s_created unknown 1"}},
		{"histograms", "# TYPE h histogram\nh_bucket{le=\"0.00001\"} 0\nh_bucket{le=\"0.1\"} 1\n" +
			"h_bucket{le=\"1\"} 1\nh_bucket{le=\"1e+06\"} 2\n" +
			"h_bucket{le=\"1e+21\"} 2\nh_bucket{le=\"+Inf\"} 3\nh_sum 2\nh_count 3\n" +
			"# TYPE n histogram\nn_bucket{le=\"-1\"} 1\nn_bucket{le=\"+Inf\"} 3\nn_sum -2\nn_count 3\n" +
			"# TYPE f histogram\nf_bucket{le=\"1\"} 0.5\nf_bucket{le=\"+Inf\"} 1.5\nf_sum 2\nf_count 1.5\n",
			[]string{"h histogram 8", "n_bucket unknown 2", "n_sum unknown 1", "n_count unknown 1",
				"f_bucket unknown 2", "f_sum unknown 1", "f_count unknown 1"}},
		{"texts", "# HELP g A \\\\ \"help\"\\nof # lines.\ng{l=\" # {\\\"x\\\\\\n} # EOF\"} 1\n", []string{"g unknown 1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := start(t, "--web.enable-openmetrics")
			p.push(t, http.MethodPut, "/metrics/job/a", c.body)
			for i := range 3 { // with other groups and with counts of requests
				p.push(t, http.MethodPut, fmt.Sprint("/metrics/job/a/instance/", i), c.body)
				p.get(t, "/metrics")
			}
			exposed := p.get(t, "/metrics", "Accept", "application/openmetrics-text; version=1.0.0")
			read := command(t, "/usr/bin/python3", "-c", readOpenMetrics)
			read.Stdin = strings.NewReader(exposed)
			got, code := runToEnd(t, read)
			if code != 0 {
				t.Fatalf("%s\n%s", got, exposed)
			}
			for _, line := range c.want {
				name, samples := line[:strings.LastIndexByte(line, ' ')], line[strings.LastIndexByte(line, ' ')+1:]
				want := fmt.Sprintf("\n%s %d\n", name, 4*int(samples[0]-'0'))
				if !strings.Contains("\n"+got, want) {
					t.Errorf("%q is missing in\n%s", want, got)
				}
			}
			if !strings.Contains(got, "pushgateway_http_requests counter ") {
				t.Errorf("own metrics: %s", got)
			}
		})
	}
}
