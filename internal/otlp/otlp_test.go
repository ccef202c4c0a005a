package otlp

import (
	"strings"
	"testing"

	"pushgateway/internal/metric"
	"pushgateway/internal/wire"
)

// byJob groups resources by their job alone.
func byJob(metric.GroupingKey) []string { return nil }

// decodeJSON decodes a request in JSON, of a single resource with the job "j" and the given further
// attributes, if the body is a list of metrics.
func decodeJSON(t *testing.T, c Config, body string, groupBy ...string) *Request {
	t.Helper()
	if strings.HasPrefix(body, "[") {
		body = `{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"j"}}]},` +
			`"scopeMetrics":[{"metrics":` + body + `}]}]}`
	}
	r, err := New(c).Decode([]byte(body), JSON, func(metric.GroupingKey) []string { return groupBy })
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// format writes families in the text format, with how they are merged if their values are deltas, and the
// reasons of rejections.
func format(r *Request) string {
	var b strings.Builder
	rejected := func(r Rejected) {
		if r.First != nil {
			b.WriteString("rejected " + string(r.First.Reason) + ": " + r.First.Message + "\n")
		}
	}
	for _, g := range r.Groups {
		if len(r.Groups) > 1 || len(g.Key.Labels()) > 1 {
			b.WriteString(g.Key.String() + "\n")
		}
		for i := range g.Families {
			f := &g.Families[i]
			if f.Merge == metric.MergeSum {
				b.WriteString("delta ")
			}
			b.WriteString(f.Type.String() + " " + f.Name)
			if f.Unit != "" {
				b.WriteString(" in " + f.Unit)
			}
			b.WriteString("\n")
			for j := range f.Metrics {
				f.Metrics[j].HasTimestamp = false
			}
			b.Write(wire.AppendText(nil, f))
		}
		rejected(g.Rejected)
	}
	rejected(r.Rejected)
	return b.String()
}

// TestMapping: each kind of metric becomes the family that Prometheus makes of it.
func TestMapping(t *testing.T) {
	const point = `{"startTimeUnixNano":"1000000000","timeUnixNano":"2000000000","asInt":"3"}`
	for _, c := range []struct{ name, metrics, want string }{
		{"gauge", `[{"name":"a.b","unit":"By","gauge":{"dataPoints":[{"asDouble":1.5}]}}]`, "gauge a_b_bytes in bytes\na_b_bytes 1.5\n"},
		{"ratio", `[{"name":"r","unit":"1","gauge":{"dataPoints":[{"asDouble":0.5}]}}]`, "gauge r_ratio\nr_ratio 0.5\n"},
		{"counter", `[{"name":"c","sum":{"aggregationTemporality":2,"isMonotonic":true,"dataPoints":[` + point + `]}}]`,
			"counter c_total\nc_total 3\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := format(decodeJSON(t, Config{}, c.metrics)); got != c.want {
				t.Errorf("got\n%swant\n%s", got, c.want)
			}
		})
	}
}
